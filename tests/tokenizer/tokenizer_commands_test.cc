#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <fstream>
#include <iterator>

#include "tests/support/paths.h"
#include "tests/tokenizer/tiny_vocabulary.h"

namespace fastclip {
namespace {

class TokenizerCommands : public testing::Test {
 protected:
  struct Result {
    int code;
    std::string out, error;
  };

  // Runs the built program through a shell, `input` on its standard input.
  Result Run(const std::string& arguments, const std::string& input = "") {
    const auto self = std::filesystem::read_symlink("/proc/self/exe");
    const std::string program = self.parent_path().parent_path() / "fastclip";
    WriteText(folder / "in", input);
    const std::string command = "cd '" + folder.path().string() + "' && '" + program + "' " +
                                arguments + " < in > out 2> error";
    const int status = std::system(command.c_str());
    return {WEXITSTATUS(status), Read("out"), Read("error")};
  }
  std::string Read(const std::string& name) {
    std::ifstream file(folder / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  int FileCount() {
    return static_cast<int>(std::distance(std::filesystem::directory_iterator(folder.path()), {}));
  }

  TemporaryFolder folder;
};

std::string Captions() {
  std::string text;
  for (const char* thing : {"cat", "dog", "tree", "boat"}) {
    for (const char* place : {"in the garden", "at night", "on a table"}) {
      text += std::string("A photo of a ") + thing + " " + place + "\n";
    }
  }
  return text;
}

TEST_F(TokenizerCommands, TokenizeGivesALineForALine) {
  WriteText(folder / "tiny", kTinyVocabulary);
  const Result result =
      Run("tokenize --tokenizer clip:tiny", "cat CAT\n\ncat's\r\n\xFF\n<end_of_text>");
  EXPECT_EQ(result.code, 0) << result.error;
  EXPECT_EQ(result.out, "513 513\n\n513 516\n171 123 377\n518\n");
  EXPECT_EQ(Run("tokenize --tokenizer clip:tiny").out, "");
}

TEST_F(TokenizerCommands, TokenizeSaysWhatIsWrong) {
  const Result no_file = Run("tokenize --tokenizer clip:absent");
  EXPECT_EQ(no_file.code, 1);
  EXPECT_NE(no_file.error.find("absent: cannot be opened"), std::string::npos);
  const Result no_kind = Run("tokenize --tokenizer bert");
  EXPECT_EQ(no_kind.code, 2);
  const Result no_option = Run("tokenize --tokeniser clip");
  EXPECT_EQ(no_option.code, 2);
  EXPECT_NE(no_option.error.find("unknown option --tokeniser; did you mean --tokenizer? see"),
            std::string::npos)
      << no_option.error;
}

TEST_F(TokenizerCommands, TrainMakesAModelThatTokenizeTakes) {
  WriteText(folder / "captions.txt", Captions());
  const Result train = Run("tokenizer train --input captions.txt --model m --vocab-size 20");
  ASSERT_EQ(train.code, 0) << train.error;
  EXPECT_EQ(train.out, "m: 20 ids, trained on 12 captions; use it with sentencepiece:m\n");
  EXPECT_EQ(train.error, "");
  const Result ids = Run("tokenize --tokenizer sentencepiece:m", "a photo of a cat\n");
  EXPECT_EQ(ids.code, 0) << ids.error;
  EXPECT_FALSE(ids.out.empty());
  const std::string model = Read("m");
  EXPECT_EQ(Run("tokenizer train --input - --model m2 --vocab-size 20", Captions()).code, 0);
  EXPECT_EQ(Read("m2"), model);
}

TEST_F(TokenizerCommands, TrainLeavesNothingWhereItFails) {
  WriteText(folder / "captions.txt", Captions());
  const Result large = Run("tokenizer train --input captions.txt --model m --vocab-size 9000");
  EXPECT_EQ(large.code, 1);
  EXPECT_NE(large.error.find("Vocabulary size too high"), std::string::npos) << large.error;
  EXPECT_EQ(Run("tokenizer train --input absent --model m").code, 1);
  EXPECT_EQ(Run("tokenizer train --input . --model m").code, 1);
  EXPECT_EQ(Run("tokenizer train --input - --model m").code, 1);  // no captions
  EXPECT_EQ(Run("tokenizer train --input captions.txt --model no/m --vocab-size 20").code, 1);
  EXPECT_EQ(FileCount(), 4);  // captions.txt, in, out, error
}

TEST_F(TokenizerCommands, WrongUseEndsWithTwoAndHelpWithZero) {
  EXPECT_EQ(Run("tokenizer").code, 2);
  EXPECT_EQ(Run("tokenizer train --input x").code, 2);
  EXPECT_EQ(Run("tokenizer train --input x --model m --vocab-size 3").code, 2);
  EXPECT_EQ(Run("tokenizer train --input x --model m --captions 50").code, 2);
  EXPECT_EQ(Run("tokenizer train --input x --model m --algorithm word").code, 2);
  for (const char* arguments : {"tokenize --help", "tokenizer --help", "tokenizer train --help"}) {
    const Result help = Run(arguments);
    EXPECT_EQ(help.code, 0);
    EXPECT_NE(help.out.find("\nexample: "), std::string::npos) << help.out;
  }
}

}  // namespace
}  // namespace fastclip

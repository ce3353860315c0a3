#include "trainer/eval/class_prompts.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>

#include "tests/support/error_of.h"
#include "tests/support/paths.h"
#include "tokenizer/tokenizer.h"

namespace fastclip {
namespace {

class ClassFiles : public testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return folder_ / name;
  }
  /// The one line that a call throws.
  static std::string OneLineOf(const std::function<void()>& call) {
    const std::string error = ErrorOf<std::runtime_error>(call);
    EXPECT_EQ(error.find('\n'), std::string::npos);
    return error;
  }
  void ExpectClassError(const std::string& text, const std::string& part) const {
    const std::string error = OneLineOf([&] { ReadClasses(Write("c.txt", text)); });
    EXPECT_NE(error.find(part), std::string::npos) << error;
  }
  void ExpectTemplateError(const std::string& text, const std::string& part) const {
    const std::string error = OneLineOf([&] { ReadTemplates(Write("t.txt", text)); });
    EXPECT_NE(error.find(part), std::string::npos) << error;
  }

  TemporaryFolder folder_;
};

TEST_F(ClassFiles, AreOneNameALine) {
  EXPECT_EQ(ReadClasses(Write("c.txt",
                              "\xEF\xBB\xBF"
                              "tabby cat\r\n crane (bird) \ncrane")),
            (std::vector<std::string>{"tabby cat", "crane (bird)", "crane"}));
  EXPECT_EQ(ReadTemplates(Write("t.txt", "a photo of a {}.\n{}\n")),
            (std::vector<std::string>{"a photo of a {}.", "{}"}));
}

TEST_F(ClassFiles, FillEverySlot) {
  const ClassPrompts prompts{{"a {} b", "cat"}, {"a {}, or {}.", "{}"}};
  EXPECT_EQ(prompts.Sentence(1, 0), "a cat, or cat.");
  EXPECT_EQ(prompts.Sentence(0, 0), "a a {} b, or a {} b.");
  EXPECT_EQ(prompts.Sentence(1, 1), "cat");
}

TEST_F(ClassFiles, FillManySlotsInLinearTime) {
  std::string line;
  for (int i = 0; i < 200'000; ++i) line += "{}";
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ((ClassPrompts{{"c"}, {line}}.Sentence(0, 0)), std::string(200'000, 'c'));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST_F(ClassFiles, MayHaveEqualNamesWhichAreTold) {
  const auto classes = ReadClasses(Write("c.txt", "sunglasses\nmissile\nsunglasses\nMissile\nx\n"));
  EXPECT_EQ(classes.size(), 5u);
  EXPECT_EQ(DescribeEqualNames(FindEqualNames(classes)),
            "'sunglasses' (lines 1, 3), 'missile' (lines 2, 4)");
  EXPECT_EQ(DescribeEqualNames(FindEqualNames({"a", "b"})), "");
  EXPECT_EQ(DescribeEqualNames(FindEqualNames(std::vector<std::string>(9, "a"))),
            "'a' (lines 1, 2, 3, 4, 5, 6, …)");
  std::vector<std::string> pairs;
  for (int i = 0; i < 16; ++i) pairs.push_back(std::to_string(i / 2));
  EXPECT_NE(DescribeEqualNames(FindEqualNames(pairs)).find("'5' (lines 11, 12) and 2 more"),
            std::string::npos);
}

TEST_F(ClassFiles, TakeTheTemplatesOfClipBenchmarkAndOpenClip) {
  const ClassPrompts prompts{
      {"cat"},
      ReadTemplates(Write("t.txt",
                          "a photo of a {c}.\n{c} and {}\nlambda c: f'a bad photo of a {c}.',\n"
                          "lambda c: f\"a {c}'s photo\"\n'a {c}',\n"))};
  std::vector<std::string> sentences;
  for (std::size_t i = 0; i < prompts.templates.size(); ++i) {
    sentences.push_back(prompts.Sentence(0, i));
  }
  EXPECT_EQ(sentences,
            (std::vector<std::string>{"a photo of a cat.", "cat and cat", "a bad photo of a cat.",
                                      "a cat's photo", "'a cat',"}));
}

TEST_F(ClassFiles, NameFileAndLineOfWhatIsWrong) {
  ExpectClassError("cat\n\ndog\n", "c.txt:2: blank line");
  ExpectClassError("cat\ndog\n \t\n", "c.txt:3: blank line");
  ExpectClassError("cat\n", "1 class name; at least 2 are needed");
  ExpectClassError("", "0 class names");
  ExpectTemplateError("a {}\na photo\n",
                      "t.txt:2: 'a photo' has no slot for the class name; write {} or {c}");
  ExpectTemplateError("a photo of a {0}.\n", "t.txt:1: 'a photo of a {0}.' has no slot");
  ExpectTemplateError("a {}\n\na {}\n", "t.txt:2: blank line");
  ExpectTemplateError("", "no templates");
  EXPECT_NE(OneLineOf([&] { ReadClasses(folder_ / "none.txt"); }).find("check the path"),
            std::string::npos);
  EXPECT_NE(OneLineOf([&] { ReadClasses(folder_.path()); }).find("no such file"),
            std::string::npos);
  EXPECT_NE(OneLineOf([&] { ReadClasses("imagenette"); }).find("did you mean imagenet?"),
            std::string::npos);
  EXPECT_NE(OneLineOf([&] {
              ReadTemplates("opanai");
            }).find("did you mean openai? Built in: openai, simple"),
            std::string::npos);
  EXPECT_NE(OneLineOf([&] {
              ReadTemplates("a photo of a {}.");
            }).find("is a template, not a file of templates"),
            std::string::npos);
}

TEST_F(ClassFiles, MayBeSetsThatSetupMade) {
  std::string imagenet;
  try {
    imagenet = SharedFile("classes/imagenet.txt");
  } catch (const std::runtime_error&) {
    GTEST_SKIP() << "no classes/imagenet.txt: tools/setup.sh makes it";
  }
  const std::vector<std::string> classes = ReadClasses("imagenet");
  ASSERT_EQ(classes.size(), 1000u);
  EXPECT_EQ(classes[0], "tench");
  EXPECT_EQ(classes[999], "toilet paper");
  EXPECT_EQ(std::set(classes.begin(), classes.end()).size(), 998u);  // missile, sunglasses: twice
  EXPECT_EQ(DescribeEqualNames(FindEqualNames(classes)),
            "'missile' (lines 658, 745), 'sunglasses' (lines 837, 838)");
  const std::vector<std::string> openai = ReadTemplates("openai");
  ASSERT_EQ(openai.size(), 80u);
  EXPECT_EQ(openai[0], "a bad photo of a {}.");
  EXPECT_EQ(openai[79], "a tattoo of the {}.");
  EXPECT_EQ(ReadTemplates("simple").size(), 7u);
}

}  // namespace
}  // namespace fastclip

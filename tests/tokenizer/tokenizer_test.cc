#include "tokenizer/tokenizer.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>

#include "tests/support/paths.h"
#include "tests/tokenizer/tiny_vocabulary.h"

namespace fastclip {
namespace {

using Ids = std::vector<TokenId>;

/// One id a byte.
class ByteTokenizer final : public Tokenizer {
 public:
  explicit ByteTokenizer(SpecialTokens special) : special_(special) {}
  Ids Encode(std::string_view text) const override { return {text.begin(), text.end()}; }
  std::string Decode(std::span<const TokenId> ids) const override {
    return {ids.begin(), ids.end()};
  }
  SpecialTokens special() const override { return special_; }
  int vocab_size() const override { return 300; }

 private:
  SpecialTokens special_;
};

const ByteTokenizer kFramed({.start = 256, .end = 257, .pad = 7});

Ids Context(const Tokenizer& tokenizer, std::string_view text, int length, int expected_pool) {
  Ids out(length, -1);
  EXPECT_EQ(EncodeContext(tokenizer, text, out), expected_pool);
  return out;
}

TEST(EncodeContext, FramesATextAndPadsTheRest) {
  EXPECT_EQ(Context(kFramed, "ab", 6, 3), Ids({256, 'a', 'b', 257, 7, 7}));
  EXPECT_EQ(Context(kFramed, "", 4, 1), Ids({256, 257, 7, 7}));
}

TEST(EncodeContext, KeepsTheEndWhereATextIsCut) {
  EXPECT_EQ(Context(kFramed, "abcd", 6, 5), Ids({256, 'a', 'b', 'c', 'd', 257}));
  EXPECT_EQ(Context(kFramed, "abcde", 6, 5), Ids({256, 'a', 'b', 'c', 'd', 257}));
  EXPECT_EQ(Context(kFramed, "abcde", 2, 1), Ids({256, 257}));
}

TEST(EncodeContext, NeedsNoStart) {
  const ByteTokenizer tokenizer({.start = -1, .end = 257, .pad = 257});
  EXPECT_EQ(Context(tokenizer, "ab", 4, 2), Ids({'a', 'b', 257, 257}));
  EXPECT_EQ(Context(tokenizer, "abcde", 4, 3), Ids({'a', 'b', 'c', 257}));
}

TEST(EncodeContext, PoolsAtTheFirstEnd) {
  const ByteTokenizer tokenizer({.start = 256, .end = 'b', .pad = 0});
  EXPECT_EQ(Context(tokenizer, "abc", 6, 2), Ids({256, 'a', 'b', 'c', 'b', 0}));
}

TEST(EncodeContext, RefusesAContextThatHoldsNoText) {
  std::array<TokenId, 1> out;
  EXPECT_THROW(EncodeContext(kFramed, "a", out), std::invalid_argument);
}

TEST(OpenTokenizer, TakesAPathBehindTheKind) {
  TemporaryFolder folder;
  WriteText(folder / "a:b.txt", kTinyVocabulary);
  EXPECT_EQ(OpenTokenizer("clip:" + (folder / "a:b.txt"))->vocab_size(), 519);
}

TEST(OpenTokenizer, NamesWhatItTakes) {
  for (const char* spec : {"", "bert", "clip:", "sentencepiece", "sentencepiece:", ":x"}) {
    try {
      OpenTokenizer(spec);
      ADD_FAILURE() << spec;
    } catch (const std::invalid_argument& error) {
      EXPECT_NE(std::string(error.what()).find("sentencepiece:MODEL"), std::string::npos) << spec;
    }
  }
}

/// Sets FASTCLIP_SHARE for one test.
class ShareSetting {
 public:
  explicit ShareSetting(const std::string& folder) {
    if (const char* set = std::getenv("FASTCLIP_SHARE")) before_ = set;
    setenv("FASTCLIP_SHARE", folder.c_str(), 1);
  }
  ~ShareSetting() { setenv("FASTCLIP_SHARE", before_.c_str(), 1); }

 private:
  std::string before_;
};

TEST(SharedFile, IsFoundWhereTheSettingSays) {
  TemporaryFolder folder;
  const ShareSetting setting(folder.path().string());
  WriteText(folder / "bpe_simple_vocab_16e6.txt.gz", kTinyVocabulary);
  EXPECT_EQ(SharedFile("bpe_simple_vocab_16e6.txt.gz"), folder / "bpe_simple_vocab_16e6.txt.gz");
  EXPECT_EQ(OpenTokenizer("clip")->vocab_size(), 519);
}

TEST(SharedFile, LooksBesideTheBinaryAndOneFolderUp) {
  const ShareSetting setting("");
  const auto binary = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  const std::string name = "of_the_shared_file_test";
  for (const auto& folder : {binary / "share", binary.parent_path() / "share" / "fastclip"}) {
    const bool made = std::filesystem::create_directories(folder);
    WriteText(folder / name, "x");
    EXPECT_EQ(SharedFile(name), (folder / name).string());
    std::filesystem::remove(folder / name);
    if (made) std::filesystem::remove(folder);
  }
}

TEST(SharedFile, SaysWhichStepMakesIt) {
  TemporaryFolder folder;
  const ShareSetting setting(folder.path().string());
  try {
    SharedFile("absent");
    ADD_FAILURE();
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("tools/setup.sh"), std::string::npos);
  }
}

}  // namespace
}  // namespace fastclip

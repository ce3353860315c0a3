#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "tests/support/paths.h"
#include "tokenizer/tokenizer.h"

namespace fastclip {
namespace {

using Ids = std::vector<TokenId>;

/// Compares all cases of a file; returns their number.
int Compare(const std::filesystem::path& path) {
  std::ifstream file(path);
  const auto manifest = nlohmann::json::parse(file);
  const auto tokenizer = OpenTokenizer("clip");
  int count = 0;
  for (const auto& entry : manifest.at("cases")) {
    const std::string text = entry.at("text");
    const Ids expected = entry.at("ids");
    Ids context(77);
    const int pool = EncodeContext(*tokenizer, text, context);
    EXPECT_EQ(context[pool], tokenizer->special().end);
    Ids padded = expected;
    padded.resize(context.size(), tokenizer->special().pad);
    EXPECT_EQ(context, padded) << text;
    ++count;
  }
  return count;
}

TEST(ClipGolden, GivesOpenClipsIdsFor100Captions) {
  EXPECT_EQ(Compare("tests/golden/clip_tokens.json"), 100);
}

TEST(ClipGolden, GivesOpenClipsIdsForTheSharedCases) {
  const auto folder = SharedFolder();
  if (folder.empty()) GTEST_SKIP() << "clip_tokens: no shared folder";
  const int count = Compare(folder / "golden/openclip/clip_tokens.json");
  std::printf("clip_tokens: %d cases\n", count);
  EXPECT_GT(count, 0);
}

}  // namespace
}  // namespace fastclip

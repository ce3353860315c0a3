#include "tokenizer/byte_pair.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "tests/support/error_of.h"
#include "tests/support/paths.h"
#include "tests/tokenizer/tiny_vocabulary.h"

namespace fastclip {
namespace {

using Ids = std::vector<TokenId>;

BytePair LoadText(const std::string& text) {
  TemporaryFolder folder;
  WriteText(folder / "vocabulary.txt", text);
  return BytePair::Load(folder / "vocabulary.txt");
}

Ids Encode(const BytePair& pairs, std::string_view word) {
  Ids ids;
  pairs.Append(word, ids);
  return ids;
}

std::string LoadError(const std::string& path) {
  return ErrorOf<std::runtime_error>([&] { BytePair::Load(path); });
}

/// A compressed vocabulary.
void WriteGzip(const std::string& path) {
  gzFile file = gzopen(path.c_str(), "wb");
  gzputs(file, kTinyVocabulary);
  gzclose(file);
}

std::string TextError(const std::string& text) {
  TemporaryFolder folder;
  WriteText(folder / "vocabulary.txt", text);
  return LoadError(folder / "vocabulary.txt");
}

// Id of a byte that prints in ASCII: CLIP's order starts with '!'.
TokenId Byte(char c) { return c - '!'; }
TokenId LastByte(char c) { return c - '!' + 256; }

TEST(BytePair, MergesTheFilesFirstPairFirstAndEqualOnesFromTheLeft) {
  const BytePair pairs = LoadText(kTinyVocabulary);
  EXPECT_EQ(pairs.size(), 512 + 5);
  EXPECT_EQ(Encode(pairs, "cat"), Ids({513}));
  EXPECT_EQ(Encode(pairs, "cats"), Ids({512, Byte('t'), LastByte('s')}));
  EXPECT_EQ(Encode(pairs, "aaab"), Ids({514, Byte('a'), LastByte('b')}));
  EXPECT_EQ(Encode(pairs, "aaaab"), Ids({515, LastByte('b')}));
  EXPECT_EQ(Encode(pairs, "a"), Ids({LastByte('a')}));
}

TEST(BytePair, KnowsTheBytesOfEachSymbol) {
  const BytePair pairs = LoadText(kTinyVocabulary);
  std::set<std::string> bytes;
  for (TokenId id = 0; id < 256; ++id) {
    bytes.insert(std::string(pairs.bytes(id)));
    EXPECT_EQ(pairs.bytes(id), pairs.bytes(id + 256));
    EXPECT_TRUE(!pairs.ends_word(id) && pairs.ends_word(id + 256));
  }
  EXPECT_EQ(bytes.size(), 256u);
  EXPECT_EQ(pairs.bytes(513), "cat");
  EXPECT_TRUE(pairs.ends_word(513));
}

// CLIP's own way: again and again merge all of the pair that comes first in the file.
Ids MergeByScanning(const std::map<std::pair<TokenId, TokenId>, TokenId>& merges, Ids word) {
  while (true) {
    TokenId best = -1;
    for (std::size_t i = 0; i + 1 < word.size(); ++i) {
      const auto found = merges.find({word[i], word[i + 1]});
      if (found != merges.end() && (best < 0 || found->second < best)) best = found->second;
    }
    if (best < 0) return word;
    Ids merged;
    for (std::size_t i = 0; i < word.size(); ++i) {
      const bool here = i + 1 < word.size() && merges.contains({word[i], word[i + 1]}) &&
                        merges.at({word[i], word[i + 1]}) == best;
      merged.push_back(here ? best : word[i]);
      i += here;
    }
    word = merged;
  }
}

TEST(BytePair, GivesWhatRepeatedScansGive) {
  std::mt19937 random(7);
  const auto below = [&](std::size_t n) { return random() % n; };
  for (int round = 0; round < 20; ++round) {
    std::vector<std::pair<std::string, TokenId>> symbols;
    for (const char c : {'a', 'b', 'c'}) {
      symbols.emplace_back(std::string(1, c), Byte(c));
      symbols.emplace_back(std::string(1, c) + "</w>", LastByte(c));
    }
    std::string text = "#version: random\n";
    std::map<std::pair<TokenId, TokenId>, TokenId> merges;
    std::set<std::string> known;
    TokenId next = 512;
    for (int i = 0; i < 60; ++i) {
      const auto left = symbols[below(symbols.size())], right = symbols[below(symbols.size())];
      if (left.first.ends_with("</w>") || !known.insert(left.first + right.first).second) continue;
      text += left.first + " " + right.first + "\n";
      merges[{left.second, right.second}] = next;
      symbols.emplace_back(left.first + right.first, next++);
    }
    const BytePair pairs = LoadText(text);
    for (int i = 0; i < 100; ++i) {
      std::string word;
      Ids ids;
      for (std::size_t n = 1 + below(40); n > 0; --n) word.push_back("abc"[below(3)]);
      for (const char c : word) ids.push_back(Byte(c));
      ids.back() += 256;
      ASSERT_EQ(Encode(pairs, word), MergeByScanning(merges, ids)) << text << word;
    }
  }
}

TEST(BytePair, TakesAWordOfAMegabyte) {
  const BytePair pairs = LoadText(kTinyVocabulary);
  EXPECT_EQ(Encode(pairs, std::string(1 << 20, 'a')).size(), (1u << 18) + 2);
}

TEST(BytePair, ReadsGzip) {
  TemporaryFolder folder;
  const std::string path = folder / "vocabulary.gz";
  WriteGzip(path);
  EXPECT_EQ(BytePair::Load(path).size(), 517);
}

TEST(BytePair, StopsAtClipsNumberOfMerges) {
  std::string text = "#version\n";
  const std::string letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  for (const char a : letters) {
    for (const char b : letters) text += std::string(1, a) + " " + b + "\n";
  }
  for (const char a : letters) {
    for (const char b : letters) {
      for (const char c : letters) text += std::string(1, a) + " " + b + c + "\n";
    }
  }
  EXPECT_EQ(LoadText(text).size(), 512 + 48894);
}

TEST(BytePair, RefusesAFileThatIsNoVocabulary) {
  TemporaryFolder folder;
  EXPECT_NE(LoadError(folder / "absent").find("cannot be opened"), std::string::npos);
  EXPECT_NE(LoadError(folder.path().string()).find("not a regular file"), std::string::npos);
  EXPECT_NE(TextError("").find("\"#version\""), std::string::npos);
  EXPECT_NE(TextError("c a\n").find("\"#version\""), std::string::npos);
  EXPECT_NE(TextError("#version\n").find("no merges"), std::string::npos);
  EXPECT_NE(TextError("#version\nc a\nx yz\n").find("line 3"), std::string::npos);
  EXPECT_NE(TextError("#version\nc a\n\nb c\n").find("line 3"), std::string::npos);
  EXPECT_NE(TextError("#version\nc</w> a\n").find("line 2"), std::string::npos);
  EXPECT_NE(TextError("#version\nc a\nc a\n").find("line 3"), std::string::npos);
  EXPECT_NE(TextError("#version\n" + std::string(1000, '\0')).find("line 2"), std::string::npos);
}

TEST(BytePair, RefusesAGzipFileThatIsCut) {
  TemporaryFolder folder;
  const std::string path = folder / "vocabulary.gz";
  WriteGzip(path);
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 12);
  EXPECT_NE(LoadError(path).find("cannot be read to the end"), std::string::npos);
}

TEST(BytePair, RefusesAGzipFileThatGrowsWithoutEnd) {
  TemporaryFolder folder;
  const std::string path = folder / "bomb.gz";
  gzFile file = gzopen(path.c_str(), "wb1");
  const std::string zeros(1 << 20, '\0');
  for (int i = 0; i < 65; ++i) gzwrite(file, zeros.data(), zeros.size());
  gzclose(file);
  EXPECT_NE(LoadError(path).find("larger than 64 MiB"), std::string::npos);
}

}  // namespace
}  // namespace fastclip

#include "tokenizer/clip_tokenizer.h"

#include <gtest/gtest.h>

#include <memory>

#include "tests/support/paths.h"
#include "tests/tokenizer/tiny_vocabulary.h"

namespace fastclip {
namespace {

using Ids = std::vector<TokenId>;

constexpr TokenId kStart = 517, kEnd = 518;

class ClipTokenizerTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    TemporaryFolder folder;
    WriteText(folder / "vocabulary.txt", kTinyVocabulary);
    tokenizer = std::make_unique<ClipTokenizer>(folder / "vocabulary.txt");
  }
  static void TearDownTestSuite() { tokenizer.reset(); }

  static inline std::unique_ptr<ClipTokenizer> tokenizer;
};

std::vector<std::string> Words(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty()) {
    if (text.front() == ' ') {
      text.remove_prefix(1);
      continue;
    }
    words.emplace_back(text.substr(0, WordLength(text)));
    text.remove_prefix(words.back().size());
  }
  return words;
}

TEST(WordLength, FollowsClipsExpression) {
  using Strings = std::vector<std::string>;
  EXPECT_EQ(Words("it's they're i'd we'll"),
            Strings({"it", "'s", "they", "'re", "i", "'d", "we", "'ll"}));
  EXPECT_EQ(Words("can't'tis 'x"), Strings({"can", "'t", "'t", "is", "'", "x"}));
  EXPECT_EQ(Words("a12½b"), Strings({"a", "1", "2", "½", "b"}));
  EXPECT_EQ(Words("wow!!! ...ok_go"), Strings({"wow", "!!!", "...", "ok", "_", "go"}));
  EXPECT_EQ(Words("日本語1русский"), Strings({"日本語", "1", "русский"}));
  EXPECT_EQ(Words("e\u0301t"), Strings({"e", "\u0301", "t"}));
  EXPECT_EQ(Words("😀👩\u200d👧 x"), Strings({"😀👩\u200d👧", "x"}));
}

TEST(WordLength, TakesALongSForAnSAsTheExpressionDoes) {
  using Strings = std::vector<std::string>;
  EXPECT_EQ(Words("'ſa"), Strings({"'ſ", "a"}));
  EXPECT_EQ(Words("<ſtart_of_text>"), Strings({"<ſtart_of_text>"}));
}

TEST(WordLength, FindsSpecialTokensOnlyAtAWordsStart) {
  using Strings = std::vector<std::string>;
  EXPECT_EQ(Words("a<end_of_text>b"), Strings({"a", "<end_of_text>", "b"}));
  EXPECT_EQ(Words("!<end_of_text>"), Strings({"!<", "end", "_", "of", "_", "text", ">"}));
}

TEST_F(ClipTokenizerTest, HasStartAndEndBehindTheSymbols) {
  EXPECT_EQ(tokenizer->vocab_size(), 519);
  EXPECT_EQ(tokenizer->special().start, kStart);
  EXPECT_EQ(tokenizer->special().end, kEnd);
  EXPECT_EQ(tokenizer->special().pad, 0);
}

TEST_F(ClipTokenizerTest, GivesSpecialTokensInATextTheirIds) {
  EXPECT_EQ(tokenizer->Encode("CAT <END_OF_TEXT>cat <start_of_text>"),
            Ids({513, kEnd, 513, kStart}));
  Ids out(6);
  EXPECT_EQ(EncodeContext(*tokenizer, "cat <end_of_text> cat", out), 2);
  EXPECT_EQ(out, Ids({kStart, 513, kEnd, 513, kEnd, 0}));
}

TEST_F(ClipTokenizerTest, GivesNothingForNothing) {
  for (const std::string text : {"", " ", "\n\t \r\n", "\u3000", "\x01"}) {
    EXPECT_TRUE(tokenizer->Encode(text).empty()) << text;
  }
}

TEST_F(ClipTokenizerTest, TakesBytesThatAreNotUtf8AsReplacementCharacters) {
  const Ids one = tokenizer->Encode("\uFFFD"), three = tokenizer->Encode("\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(one.size(), 3u);
  EXPECT_EQ(tokenizer->Encode("\xFF"), one);
  EXPECT_EQ(tokenizer->Encode("\xE6\x97"), one);        // a character cut in two
  EXPECT_EQ(tokenizer->Encode("\xED\xA0\x80"), three);  // a lone surrogate
  EXPECT_EQ(tokenizer->Encode("\xC0\x80\x80"), three);  // an overlong NUL
  EXPECT_EQ(tokenizer->Encode(std::string_view("a\0b", 3)), tokenizer->Encode("ab"));
}

TEST_F(ClipTokenizerTest, DecodesWhatItEncodes) {
  EXPECT_EQ(tokenizer->Decode(tokenizer->Encode("A cat's  日本!")), "a cat 's 日本 ! ");
  EXPECT_EQ(tokenizer->Decode(Ids({kStart, 513, kEnd})), "<start_of_text>cat <end_of_text>");
  EXPECT_EQ(tokenizer->Decode(Ids({94})), "\uFFFD");  // half a character
  EXPECT_THROW(tokenizer->Decode(Ids({519})), std::out_of_range);
  EXPECT_THROW(tokenizer->Decode(Ids({-1})), std::out_of_range);
}

TEST_F(ClipTokenizerTest, GivesTheSamePrefixOfAnyLength) {
  const std::string text = "cats cat's aaaaaaaaa 日本 cat";
  const Ids all = tokenizer->Encode(text);
  for (std::size_t limit = 0; limit <= all.size() + 1; ++limit) {
    EXPECT_EQ(tokenizer->EncodePrefix(text, limit),
              Ids(all.begin(), all.begin() + std::min(limit, all.size())));
  }
}

TEST_F(ClipTokenizerTest, TakesCaptionsOfAMegabyte) {
  constexpr std::size_t kSize = 1'000'000;
  std::string words, nested = "&", quotes, bytes;
  while (words.size() < kSize) words += "cat ";
  while (nested.size() < kSize) nested += "amp;";
  while (quotes.size() < kSize) quotes += "’";
  for (std::size_t i = 0; i < kSize; ++i) bytes.push_back(static_cast<char>(i * 2654435761u >> 13));
  for (const std::string& text : {words, nested, quotes, bytes}) {
    Ids out(77);
    const int pool = EncodeContext(*tokenizer, text, out);
    EXPECT_EQ(out[pool], kEnd);
    EXPECT_EQ(out.front(), kStart);
  }
  EXPECT_EQ(tokenizer->Encode(words).size(), words.size() / 4);
  EXPECT_EQ(tokenizer->Encode(nested), tokenizer->Encode("&"));
}

}  // namespace
}  // namespace fastclip

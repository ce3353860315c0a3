#include "tokenizer/text_cleanup.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tokenizer/html_entities.h"

namespace fastclip {
namespace {

// What OpenCLIP 3.3 with ftfy 6.3 and Python 3.11 makes of each text.
using Cases = std::vector<std::pair<std::string, std::string>>;
void ExpectClean(const Cases& cases) {
  for (const auto& [text, clean] : cases) EXPECT_EQ(CleanCaption(text), clean) << text;
}

TEST(CleanCaption, CollapsesWhiteSpace) {
  ExpectClean({{"", ""},
               {" \t a \r\n\n b\u3000c\u00A0 ", "a b c"},
               {"a\u2028b\u202F\u1680c\u200Ad", "a b c d"},
               {"a\u200Bb", "a\u200Bb"}});  // a zero-width space is none
}

TEST(CleanCaption, LowersAsPythonDoes) {
  ExpectClean({{"İIı", "i\u0307iı"}, {"ΟΔΟΣ ΣΑΣ.", "οδος σας."}, {"Σ", "σ"}, {"ÀÉ ẞ Ⅷ", "àé ß ⅷ"}});
}

TEST(CleanCaption, StraightensQuotesLigaturesAndWidths) {
  ExpectClean({{"“a” ‘b’ ʼ‛‟", "\"a\" 'b' ''\""},
               {"ﬁ ﬂ ﬀ ﬃ ﬄ ﬆ ﬅ", "fi fl ff ffi ffl st ſt"},
               {"Ĳ ŉ Ǆ ǈ ǳ", "ij 'n dž lj dz"},
               {"ＬＯＵＤ　＆ｶﾞ￦", "loud &ガ₩"}});
}

TEST(CleanCaption, ComposesAndRemovesControls) {
  ExpectClean({{"e\u0301 K\u0307 \u212B \u1100\u1161", "é k̇ å 가"},
               {std::string("a\0b\x07\x7F", 5) + "\uFEFF\u206A\uFFFC"
                                                 "c",
                "abc"},
               {"\x1B[31mred\x1B[0;1m \x1B[12 \x1B", "red [12"},
               {"a\u0091b\u0085c\u0081", "a'b…c\u0081"}});
}

TEST(CleanCaption, ReplacesReferences) {
  ExpectClean(
      {{"&amp;amp;amp; &lt;b&gt;", "& <b>"},
       {"&amp; &amp &AMP; &eacute;&EACUTE;&SZLIG;", "& & & ééss"},
       {"&#39;&#x27;&#150;&#x80; &#0; &#xD800; &#x110000;", "''–€ � � �"},
       {"&#99999999999999999999;&#1;&#xFDD0;.", "�."},
       {"this&not that &notit; &nosuch; &# &; &#x; & ", "this¬ that ¬it; &nosuch; &# &; &#x; &"},
       {"&am&#112;; &#xFF06;amp; &#59; &NotEqualTilde;", "& & ; ≂̸"},
       {"a&nbsp;b&NewLine;c&#13;&#10;d", "a b c d"}});
}

// ftfy leaves references alone from the first line with a '<' on; the two HTML passes behind it do
// not.
TEST(CleanCaption, ReplacesFewerReferencesBehindALiteralTag) {
  ExpectClean({{"< &amp;amp;amp;amp;", "< &amp;amp;"},
               {"&amp;amp;amp;amp;\n< &amp;amp;amp;\n&amp;amp;amp;", "& < &amp; &amp;"},
               {"< &EACUTE;", "< &eacute;"}});
}

TEST(CleanCaption, FixesALineOfAMillionCharactersInParts) {
  const std::string text(1'000'000, 'a');
  EXPECT_EQ(CleanCaption(text + "\u2019&amp;x"), text + "'&x");
}

TEST(FindHtmlEntity, KnowsTheStandardsNames) {
  ASSERT_NE(FindHtmlEntity("CounterClockwiseContourIntegral;"), nullptr);
  EXPECT_EQ(*FindHtmlEntity("zwnj;"), U"\u200C");
  EXPECT_EQ(*FindHtmlEntity("amp"), U"&");
  EXPECT_EQ(FindHtmlEntity("zwnj"), nullptr);
  EXPECT_EQ(FindHtmlEntity(""), nullptr);
  EXPECT_EQ(*FindHtmlEntityOfAnyCase("NTILDE;"), U"Ñ");
  EXPECT_EQ(FindHtmlEntityOfAnyCase("nTILDE;"), nullptr);
  EXPECT_EQ(FindHtmlEntityOfAnyCase("LTIMES;"), nullptr);  // begins with &LT
}

}  // namespace
}  // namespace fastclip

#include "pipeline/base/printable.h"

#include <gtest/gtest.h>

namespace fastclip {
namespace {

TEST(Printable, LetsNoNameMoveTheCursorOrTurnTheTextAround) {
  EXPECT_EQ(Printable("a\x1b[2J\x07z\x7f"), "a\\x1b[2J\\x07z\\x7f");
  EXPECT_EQ(Printable("line\nof\r\tits own"), "line\\x0aof\\x0d\\x09its own");
  EXPECT_EQ(Printable("\u009b2J"), "\\xc2\\x9b2J");
  EXPECT_EQ(Printable("\u202Egpj.exe"), "\\xe2\\x80\\xaegpj.exe");
  EXPECT_EQ(Printable("\u2028\u2066"), "\\xe2\\x80\\xa8\\xe2\\x81\\xa6");
  EXPECT_EQ(Printable(std::string_view("\0", 1)), "\\x00");
}

TEST(Printable, KeepsWhatPeopleWrite) {
  const std::string text = "Zürich/東京/😀 a\\b 'c' {0..9}.tar";
  EXPECT_EQ(Printable(text), text);
  EXPECT_EQ(Printable(""), "");
}

TEST(Printable, GivesUtf8WhateverTheBytes) {
  EXPECT_EQ(Printable("caf\xe9.jpg"), "caf\\xe9.jpg");
  EXPECT_EQ(Printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // half of a pair
  EXPECT_EQ(Printable("\xc0\xaf"), "\\xc0\\xaf");           // longer than it need be
  EXPECT_EQ(Printable("\xf0\x9f\x98"), "\\xf0\\x9f\\x98");  // cut
}

TEST(Printable, CutsALongNameBetweenCharacters) {
  const std::string name = std::string(kMaxPrintedBytes - 1, 'n') + "é" + "more";
  EXPECT_EQ(Printable(name), std::string(kMaxPrintedBytes - 1, 'n') + "…");
}

TEST(PrintableLines, KeepTheLineBreaksOfAMessage) {
  EXPECT_EQ(PrintableLines("two\nlines\x1b"), "two\nlines\\x1b");
}

TEST(Counted, IsPluralButForOne) {
  EXPECT_EQ(Counted(0, "step"), "0 steps");
  EXPECT_EQ(Counted(1, "step"), "1 step");
  EXPECT_EQ(Counted(1'000'000, "tar file"), "1000000 tar files");
}

}  // namespace
}  // namespace fastclip

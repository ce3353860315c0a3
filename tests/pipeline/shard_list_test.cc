#include "pipeline/shards/shard_list.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>

#include "pipeline/sources/open_source.h"
#include "tests/pipeline/shard_files.h"
#include "tests/support/paths.h"

namespace fastclip {
namespace {

using Names = std::vector<std::string>;

TEST(ShardList, ExpandsRangesAsWideAsTheyAreWritten) {
  EXPECT_EQ(ExpandPart("a/{008..011}.tar"),
            (Names{"a/008.tar", "a/009.tar", "a/010.tar", "a/011.tar"}));
  EXPECT_EQ(ExpandPart("{8..10}.tar"), (Names{"8.tar", "9.tar", "10.tar"}));
  EXPECT_EQ(ExpandPart("{0..9..4}.tar"), (Names{"0.tar", "4.tar", "8.tar"}));
  EXPECT_EQ(ExpandPart("{2..0}.tar"), (Names{"2.tar", "1.tar", "0.tar"}));
  EXPECT_EQ(ExpandPart("{00000..00331}.tar").size(), 332u);
}

TEST(ShardList, ExpandsAlternativesAndNestedBraces) {
  EXPECT_EQ(ExpandPart("{x,y}/{0..1}.tar"), (Names{"x/0.tar", "x/1.tar", "y/0.tar", "y/1.tar"}));
  EXPECT_EQ(ExpandPart("{a{0..1},b}.tar"), (Names{"a0.tar", "a1.tar", "b.tar"}));
  EXPECT_EQ(ExpandPart("s{,-val}.tar"), (Names{"s.tar", "s-val.tar"}));
}

TEST(ShardList, SortsGlobsByBytesAndLeavesOwnFilesOut) {
  const TemporaryFolder folder;
  for (const char* name : {"b.tar", "B.tar", "a.tar", "fastclip-x.manifest", "c.tar.1.0.tmp"}) {
    WriteFile(folder / name, "");
  }
  std::filesystem::create_directory(folder / "d.tar");
  EXPECT_EQ(ExpandPart(folder / "*"),
            (Names{folder / "B.tar", folder / "a.tar", folder / "b.tar"}));
}

TEST(ShardList, ReadsAFileOfNamesRelativeToItself) {
  const TemporaryFolder folder;
  WriteFile(folder / "train.txt", "# shards\n\n  x/{0..1}.tar \r\n/abs.tar\n");
  EXPECT_EQ(ExpandPart(folder / "train.txt"),
            (Names{folder / "x/0.tar", folder / "x/1.tar", "/abs.tar"}));
}

TEST(ShardList, SplitsAtDoubleColons) {
  EXPECT_EQ(SplitList("a::b"), (Names{"a", "b"}));
  EXPECT_EQ(SplitList("a"), (Names{"a"}));
  EXPECT_NE(ErrorOf([] { SplitList("a::"); }).find("part 2 of the list"), std::string::npos);
  EXPECT_NE(ErrorOf([] { SplitList(""); }).find("the shard list is empty"), std::string::npos);
}

TEST(ShardList, NamesWhatIsWrong) {
  const TemporaryFolder folder;
  WriteFile(folder / "empty.txt", "# nothing\n");
  const std::pair<std::string, std::string> cases[] = {
      {"{0..3.tar", "unmatched brace"},
      {"0}.tar", "unmatched brace"},
      {"{abc}.tar", "has neither a range nor a comma"},
      {"{0..x}.tar", "is not a range of integers"},
      {"{0..9..0}.tar", "is not a range of integers"},
      {"{0..99999999}.tar", "the limit is"},
      {"{0..9999}/{0..9999}.tar", "the limit is"},
      {"{a,a}.tar", "listed twice"},
      {folder / "*.tar", "no file matches"},
      {folder / "none.txt", "the list file is missing"},
      {folder / "empty.txt", "the list file is empty"},
  };
  for (const auto& [part, reason] : cases) {
    const std::string error = ErrorOf([&] { ExpandPart(part); });
    EXPECT_NE(error.find(reason), std::string::npos) << part << " → " << error;
    EXPECT_NE(error.find(part), std::string::npos) << "the part is not named: " << error;
  }
}

TEST(ShardList, IsMadeAbsoluteWithItsPatterns) {
  const auto absolute = [](const std::string& list) { return AbsoluteList(list, "/data"); };
  EXPECT_EQ(absolute("a/{0..9}.tar"), "/data/a/{0..9}.tar");
  EXPECT_EQ(absolute("./a/*.tar::/b.tsv::synthetic:7::../c.txt"),
            "/data/a/*.tar::/b.tsv::synthetic:7::/data/../c.txt");
  EXPECT_EQ(absolute("{0..3}.tar"), "/data/{0..3}.tar");
  EXPECT_EQ(absolute("{a,b}/0.tar"), "/data/{a,b}/0.tar");
  EXPECT_EQ(absolute("{/a,b,{c,/d}}/0.tar"), "{/a,/data/b,{/data/c,/d}}/0.tar");
  EXPECT_EQ(absolute(""), "");
  EXPECT_EQ(AbsoluteList("{0..1}.tar::b.tar", "/with [a] :: {b,c}"),
            R"(/with \[a\] \:\: \{b\,c\}/{0..1}.tar::/with \[a\] \:\: \{b\,c\}/b.tar)");
}

TEST(ShardList, MeansWhatExistsUnderThatVeryName) {
  const TemporaryFolder folder;
  for (const char* name : {"data [v2]", "a{b}c", "x::y", "s*r", "{0..1}"}) {
    std::filesystem::create_directory(folder / name);
    for (const char* file : {"0.tar", "1.tar"}) WriteFile((folder / name) + "/" + file, "");
    const std::string path = folder / name;
    const Names both = {path + "/0.tar", path + "/1.tar"};
    for (const std::string tail : {"/*.tar", "/{0..1}.tar", "/{0,1}.t?r"}) {
      EXPECT_EQ(SplitList(path + tail), Names{path + tail});
      EXPECT_EQ(ExpandPart(path + tail), both);
      // And from anywhere.
      const std::string absolute = AbsoluteList(path + tail, "/elsewhere");
      EXPECT_EQ(SplitList(absolute), Names{absolute});
      EXPECT_EQ(ExpandPart(absolute), both) << absolute;
    }
    EXPECT_EQ(ExpandPart(path + "/0.tar"), Names{path + "/0.tar"});
    WriteFile(path + "/list.txt", "{0..1}.tar\r\n");
    EXPECT_EQ(ExpandPart(path + "/list.txt"), both);
    EXPECT_EQ(ExpandPart(AbsoluteList("list.txt", path)), both);
    EXPECT_EQ(SplitList(path + "/0.tar::" + path + "/1.tar"), both);
  }
  std::filesystem::create_directory(folder / "x [1]");
  WriteFile(folder / "x [1]/a[0].tar", "");
  std::filesystem::create_directory(folder / "x [0]");
  WriteFile(folder / "x [0]/b.tar", "");
  EXPECT_EQ(ExpandPart(folder / "x [{0,1}]/*.tar"),
            (Names{folder / "x [0]/b.tar", folder / "x [1]/a[0].tar"}));
}

TEST(ShardList, TakesTheMeaningOfASignAwayBehindABackslash) {
  const TemporaryFolder folder;
  EXPECT_EQ(ExpandPart(R"(a\{b\}c/\[0\]\*.tar)"), Names{"a{b}c/[0]*.tar"});
  EXPECT_EQ(ExpandPart(R"({a\,b,c\}}.tar)"), (Names{"a,b.tar", "c}.tar"}));
  EXPECT_EQ(SplitList(R"(a\:\:b::c)"), (Names{R"(a\:\:b)", "c"}));
  EXPECT_EQ(ExpandPart(R"(a\:\:b)"), Names{"a::b"});
  EXPECT_EQ(ExpandPart(R"(dir\name.tar)"), Names{R"(dir\name.tar)"});
  WriteFile(folder / "[x]0.tar", "");
  EXPECT_EQ(ExpandPart(folder / R"(\[x\]*.tar)"), Names{folder / "[x]0.tar"});
  EXPECT_NE(ErrorOf([&] { ExpandPart(folder / "[x]9.tar"); }).find(R"(write \[)"),
            std::string::npos);
}

// 8.5 GB were filled before it was refused.
TEST(ShardList, CountsNamesBeforeItMakesThem) {
  std::string many;
  for (int i = 0; i < 15; ++i) many += "{1..1000000}";
  EXPECT_NE(ErrorOf([&] { ExpandPart(many); }).find("the limit is"), std::string::npos);
  std::string nested = "x";
  for (int i = 0; i < 200; ++i) nested = "{" + nested + ",{1..1000000}}";
  EXPECT_NE(ErrorOf([&] { ExpandPart(nested); }), "");
  EXPECT_NE(ErrorOf([&] {
              ExpandPart(std::string(100'000, 'n') + "{1..1000000}.tar");
            }).find("the limit is 1 GiB"),
            std::string::npos);
}

TEST(ShardList, RefusesPatternsThatNoPathCanMeet) {
  const TemporaryFolder folder;
  std::string braces, brackets;
  for (int i = 0; i < 20'000; ++i) braces += "{a,";
  for (int i = 0; i < 5'000; ++i) brackets += "a[/";
  WriteFile(folder / "braces.txt", braces + std::string(20'000, '}'));
  WriteFile(folder / "brackets.txt", brackets);
  WriteFile(folder / "zero.txt", std::string("a\0.tar", 6));
  ASSERT_EQ(mkfifo((folder / "pipe.txt").c_str(), 0600), 0);
  const auto error = [&](const char* name) { return ErrorOf([&] { ExpandPart(folder / name); }); };
  const auto start = std::chrono::steady_clock::now();
  EXPECT_NE(error("braces.txt").find("more than 16 pairs of braces"), std::string::npos);
  EXPECT_NE(error("brackets.txt").find("a path has at most 4096"), std::string::npos)
      << error("brackets.txt");
  EXPECT_NE(error("zero.txt").find("a zero byte"), std::string::npos);
  EXPECT_NE(error("pipe.txt").find("cannot be read"), std::string::npos);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST(ShardList, ReadsAFileThatWindowsWrote) {
  const TemporaryFolder folder;
  WriteFile(folder / "w.txt", "\xEF\xBB\xBF# shards\r\n0.tar\r\n\r\n1.tar");
  EXPECT_EQ(ExpandPart(folder / "w.txt"), (Names{folder / "0.tar", folder / "1.tar"}));
}

}  // namespace
}  // namespace fastclip

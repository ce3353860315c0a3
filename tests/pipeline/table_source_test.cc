#include "pipeline/sources/table_source.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "pipeline/records/block_builder.h"
#include "pipeline/sources/open_source.h"
#include "tests/pipeline/record_lines.h"
#include "tests/pipeline/table_fixture.h"
#include "tests/support/paths.h"

namespace fastclip {
namespace {

class TableTest : public TableFixture {
 protected:
  TableTest() : TableFixture({"a.jpg", "b.png", "c,\"d\".jpg"}) {}
};

TEST_F(TableTest, ReadsTabSeparatedRows) {
  EXPECT_EQ(
      Rows("t.tsv",
           "title\tFilepath\tlabel\n"
           "a \"quoted\" cat\timg/a.jpg\t3\r\n"
           "\n"
           "  \t" +
               (folder_ / "img/b.png") +
               "\t\n"
               "gone\timg/none.jpg\t1\n"
               "only a caption\n"
               "no break at the end\timg/b.png"),
      (Lines{"img/a.jpg|a.jpg|a \"quoted\" cat|3|",
             (folder_ / "img/b.png") + "|b.png||-1|no_caption", "img/none.jpg||gone|1|missing",
             "|||-1|bad_row", "img/b.png|b.png|no break at the end|-1|"}));
}

TEST_F(TableTest, ReadsQuotedRows) {
  EXPECT_EQ(Rows("t.csv",
                 "\xEF\xBB\xBF\"image\",caption,caption_2\r\n"
                 "img/a.jpg,\"one, \"\"two\"\"\nthree\",second\r\n"
                 "\"img/c,\"\"d\"\".jpg\",5\" wide,\"\"\r\n"
                 "img/b.png,last,\"more\""),
            (Lines{"img/a.jpg|a.jpg|one, \"two\"\nthree/second|-1|",
                   "img/c,\"d\".jpg|c,\"d\".jpg|5\" wide|-1|", "img/b.png|b.png|last/more|-1|"}));
}

TEST_F(TableTest, ReadsJsonLines) {
  EXPECT_EQ(
      Rows(
          "t.jsonl",
          R"({"path": "img/a.jpg", "captions": ["one", 2, "two"], "label": 7})"
          "\n"
          R"({"filepath": "img/b.png", "path": "wrong", "text": "three", "label": 99999999999999999999})"
          "\n"
          "not json\n"
          "[1]\n"
          R"({"path": 3, "text": "no path"})"
          "\n"),
      (Lines{"img/a.jpg|a.jpg|one/two|7|", "img/b.png|b.png|three|-1|", "|||-1|bad_row",
             "|||-1|bad_row", "||no path|-1|no_image"}));
}

TEST_F(TableTest, RowsInLatin1AreSkippedForTheirCaption) {
  EXPECT_EQ(Rows("t.csv", "path,text\nimg/a.jpg,caf\xe9\nimg/a.jpg,coffee\n"),
            (Lines{"img/a.jpg|a.jpg||-1|bad_caption", "img/a.jpg|a.jpg|coffee|-1|"}));
}

TEST_F(TableTest, RowsOfTooManyCaptionsAreTooLarge) {
  WriteFile(folder_ / "a.jpg", "A");
  std::string row = R"({"image": "a.jpg", "captions": ["first")";
  for (std::size_t i = 0; i < kMaxCaptions; ++i) row += R"(, "more")";
  WriteFile(folder_ / "list.jsonl", row + "]}\n");
  EXPECT_EQ(ReadAll(*OpenSource(folder_ / "list.jsonl")).records[0].skip, Skip::kTooLarge);
}

TEST_F(TableTest, ReadsAnyRangeOfManyRows) {
  for (const char* name : {"many.tsv", "many.csv", "many.jsonl"}) {
    const std::string kind = std::filesystem::path(name).extension();
    std::string text = kind == ".tsv" ? "path\ttext\n" : kind == ".csv" ? "path,text\n" : "";
    for (int i = 0; i < 300; ++i) {
      const std::string filler(static_cast<std::size_t>(i % 7) * 100, 'x');
      text += kind == ".tsv" ? fmt::format("img/a.jpg\t{} {}\n", i, filler)
              : kind == ".csv"
                  ? fmt::format("img/a.jpg,\"{}\n{}\"\n", i, filler)
                  : fmt::format("{{\"path\": \"img/a.jpg\", \"text\": \"{} {}\"}}\n", i, filler);
    }
    WriteFile(folder_ / name, text);
    const OpenedSource opened = OpenSourceWithInfo(folder_ / name);
    ASSERT_EQ(opened.source->size(), 300);
    for (const int first : {0, 1, 63, 64, 65, 128, 250, 299}) {
      const RecordBlock block =
          opened.source->Read(SampleIndex{first}, std::min(70, 300 - first), {});
      for (const Record& record : block.records) {
        EXPECT_EQ(std::stoi(std::string(record.captions[0].text)), ToInt(record.index)) << name;
      }
    }
    EXPECT_EQ(OpenSourceWithInfo(folder_ / name).parts[0].walked, 0);
  }
}

TEST_F(TableTest, HashesItsBytesAndFollowsThem) {
  WriteFile(folder_ / "t.tsv", "path\ttext\nimg/a.jpg\tone\n");
  const OpenedSource before = OpenSourceWithInfo(folder_ / "t.tsv");
  EXPECT_NE(before.parts[0].details.find("image from 'path', captions from 'text'"),
            std::string::npos);
  WriteFile(folder_ / "t.tsv", "path\ttext\nimg/a.jpg\ttwo, longer\n");
  EXPECT_NE(ErrorOf([&] {
              OpenSource(folder_ / "t.tsv");
            }).find("t.tsv: changed since it was indexed (still 1 record, but different ones)"),
            std::string::npos);
  const OpenedSource after = OpenSourceWithInfo(folder_ / "t.tsv", Renewing());
  EXPECT_EQ(after.parts[0].walked, 1);
  EXPECT_NE(after.parts[0].hash, before.parts[0].hash);
  EXPECT_EQ(after.source->Read(SampleIndex{0}, 1, {}).records[0].captions[0].text, "two, longer");
}

TEST_F(TableTest, IsComparedWithAManifestThatIsTrustedWhenItIsFirstRead) {
  SourceOptions trusting;
  trusting.trust_manifest = true;
  WriteFile(folder_ / "t.tsv", "path\ttext\nimg/a.jpg\tone\n");
  const std::uint64_t hash = OpenSource(folder_ / "t.tsv")->hash();
  EXPECT_EQ(OpenSource(folder_ / "t.tsv", trusting)->hash(), hash);
  WriteFile(folder_ / "t.tsv", "path\ttext\nimg/a.jpg\ttwo, longer\n");
  EXPECT_NE(ErrorOf([&] {
              ReadAll(*OpenSource(folder_ / "t.tsv", trusting));
            }).find("t.tsv: changed since it was indexed (still 1 record, but different ones)"),
            std::string::npos);
}

TEST_F(TableTest, IsIndexedAgainWhereItsManifestIsDamaged) {
  WriteFile(folder_ / "t.tsv", "path\ttext\nimg/a.jpg\tone\nimg/b.png\ttwo\n");
  const PartInfo good = OpenSourceWithInfo(folder_ / "t.tsv").parts[0];
  const std::string bytes = ReadFile(good.manifest);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x11);
    WriteFile(good.manifest, damaged);
    const auto source = OpenSource(folder_ / "t.tsv");
    ASSERT_EQ(source->hash(), good.hash) << i;
    ASSERT_EQ(source->Read(SampleIndex{1}, 1, {}).records[0].captions[0].text, "two") << i;
  }
}

TEST_F(TableTest, SkipsImagesThatAreNoFiles) {
  ASSERT_EQ(mkfifo((folder_ / "img/pipe.jpg").c_str(), 0600), 0);
  const Lines lines = Rows(
      "t.tsv", "path\ttext\nimg\ta folder\nimg/pipe.jpg\ta pipe\nimg/a.jpg/x\ta file's child\n" +
                   std::string(5000, 'n') + "\ttoo long a name\n");
  ASSERT_EQ(lines.size(), 4u);
  for (const std::string& line : lines) EXPECT_TRUE(line.ends_with("missing")) << line;
}

TEST_F(TableTest, NamesWhatIsWrong) {
  EXPECT_NE(Error("t.tsv", "").find("empty"), std::string::npos);
  EXPECT_NE(Error("t.tsv", "path\ttext\n").find("no records"), std::string::npos);
  EXPECT_NE(Error("t.tsv", "url\talt\nx\ty\n").find("2 columns, separated by tabs: 'url', 'alt'"),
            std::string::npos);
  EXPECT_NE(Error("t.csv", "path,text\nimg/a.jpg,\"open\n" + std::string(20 << 20, 'x'))
                .find("it has an unclosed quote"),
            std::string::npos);
  WriteFile(folder_ / "u.tsv", "path\ttext\nimg/a.jpg\tone\n");
  WriteFile(folder_ / "t.tsv", "path\ttext\nimg/a.jpg\tone\n");
  EXPECT_NE(ErrorOf([&] { OpenSource(folder_ / "*.tsv"); }).find("several tables"),
            std::string::npos);
  EXPECT_EQ(OpenSource((folder_ / "t.tsv") + "::" + (folder_ / "u.tsv"))->size(), 2);
  const auto warnings = [&] {
    return OpenSourceWithInfo(folder_ / "t.tsv", Renewing()).parts[0].warnings;
  };
  WriteFile(folder_ / "t.tsv", "text\tpath\none\timg/a.jpg\nshort\nx\n");
  EXPECT_NE(warnings().at(0).find("2 rows have too many or too few fields"), std::string::npos);
}

}  // namespace
}  // namespace fastclip

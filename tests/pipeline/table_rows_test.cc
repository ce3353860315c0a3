// Rows and fields of tables as pandas reads them.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "pipeline/files/file.h"
#include "pipeline/files/file_system.h"
#include "pipeline/sources/open_source.h"
#include "pipeline/sources/table_reader.h"
#include "tests/pipeline/record_lines.h"
#include "tests/pipeline/table_fixture.h"
#include "tests/support/paths.h"

namespace fastclip {
namespace {

class TableRowsTest : public TableFixture {
 protected:
  TableRowsTest() : TableFixture({"0.jpg", "1.jpg", "2.jpg"}) {}
  PartInfo Info(const std::string& name, const std::string& text,
                const SourceOptions& options = {}) const {
    return OpenSourceWithInfo(Write(name, text), options).parts[0];
  }
  static SourceOptions Keys(TableKeys keys) {
    SourceOptions options;
    options.table = std::move(keys);
    return options;
  }
};

bool Holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(TableRows, AreThoseOfPandas) {
  const char* other = std::getenv("FASTCLIP_TABLES");
  std::ifstream golden(other != nullptr ? other : "tests/golden/pandas_tables.json");
  const auto cases = nlohmann::json::parse(golden);
  const TemporaryFolder folder;
  int compared = 0;
  for (const auto& one : cases) {
    const std::string text = one["text"], path = folder / "t.csv";
    WriteFile(path, text);
    const auto file = OpenFile(path);
    TableWants wants;
    wants.keys.separator = one["separator"].get<std::string>()[0];
    TableReader reader(*file, TableFormat::kCsv, wants);
    std::vector<std::vector<std::string>> rows, expected;
    bool open = false;
    while (const auto row = reader.Next()) {
      open |= row->open_quote;
      if (row->skip || row->captions[0].empty()) continue;
      rows.push_back({row->image, row->captions[0]});
    }
    EXPECT_EQ(open, one["rows"].is_null()) << one["text"];
    if (open) continue;
    for (const auto& row : one["rows"].get<decltype(rows)>()) {
      if (!row[0].empty() && !row[1].empty()) expected.push_back(row);
    }
    EXPECT_EQ(rows, expected) << one["text"];
    ++compared;
  }
  fmt::print("{} tables compared\n", compared);
  EXPECT_GT(compared, 100);
}

TEST_F(TableRowsTest, OfAPandasTsvHaveQuotesTabsAndLineBreaks) {
  EXPECT_EQ(Rows("t.tsv",
                 "filepath\ttitle\n"
                 "img/0.jpg\t\"a \"\"quoted\"\" word\"\n"
                 "img/1.jpg\t\"two\nlines\"\n"
                 "img/2.jpg\t\"tab\there\"\n"),
            (Lines{"img/0.jpg|0.jpg|a \"quoted\" word|-1|", "img/1.jpg|1.jpg|two\nlines|-1|",
                   "img/2.jpg|2.jpg|tab\there|-1|"}));
}

TEST_F(TableRowsTest, EndAtAnyKindOfLineBreak) {
  const Lines rows{"img/0.jpg|0.jpg|one|-1|", "img/1.jpg|1.jpg|two|-1|"};
  EXPECT_EQ(Rows("a.csv", "path,text\r\nimg/0.jpg,one\r\n\r\nimg/1.jpg,two\r\n"), rows);
  EXPECT_EQ(Rows("b.csv", "path,text\rimg/0.jpg,one\r\rimg/1.jpg,two"), rows);
  EXPECT_EQ(Rows("c.csv", "\n\npath,text\n \t\nimg/0.jpg,one\n\nimg/1.jpg,two\n\n"), rows);
}

TEST_F(TableRowsTest, ThatDoNotFitTheColumnsAreBad) {
  const std::string text =
      "filepath,title,size\n"
      "img/0.jpg,a dog,1\n"
      "img/1.jpg,a dog, a cat and a bird,1\n"
      "img/2.jpg\n"
      "img/2.jpg,no size\n"
      "img/2.jpg,one field too many,1,\n"
      "img/2.jpg,\"quotes\nthat\" were text,1\n"
      ",no path,1\n"
      "img/2.jpg, ,1\n"
      "img/0.jpg,\"open\nimg/1.jpg,two\n";
  EXPECT_EQ(
      Rows("t.csv", text),
      (Lines{"img/0.jpg|0.jpg|a dog|-1|", "img/1.jpg|||-1|bad_row", "img/2.jpg|||-1|bad_row",
             "img/2.jpg|2.jpg|no size|-1|", "img/2.jpg|||-1|bad_row", "img/2.jpg|||-1|bad_row",
             "||no path|-1|no_image", "img/2.jpg|2.jpg||-1|no_caption", "img/0.jpg|||-1|bad_row"}));
  const auto warnings = OpenSourceWithInfo(folder_ / "t.csv").parts[0].warnings;
  ASSERT_EQ(warnings.size(), 3u);
  EXPECT_TRUE(Holds(warnings[0], "4 rows have too many or too few fields, ")) << warnings[0];
  EXPECT_TRUE(Holds(warnings[1], "2 rows lack an image path or a caption")) << warnings[1];
  EXPECT_TRUE(Holds(
      warnings[2],
      fmt::format(
          "unclosed quote in the row at byte {}: the rest of the file (30 bytes) is one bad row",
          text.size() - 30)))
      << warnings[2];
}

TEST_F(TableRowsTest, MayHaveTheirCaptionInAColumnCalledLabel) {
  SourceOptions options;
  options.table.caption = "label";
  WriteFile(folder_ / "t.csv", "path,label\nimg/0.jpg,a dog\n");
  EXPECT_EQ(Summary(ReadAll(*OpenSource(folder_ / "t.csv", options))),
            Lines{"img/0.jpg|0.jpg|a dog|-1|"});
}

TEST_F(TableRowsTest, AreSeparatedAsTheFirstLineShows) {
  const Lines rows{"img/0.jpg|0.jpg|a, b|-1|"};
  for (const char* name : {"t.csv", "t.tsv"}) {
    for (const char separator : {'\t', ';', '|'}) {
      const std::string text = fmt::format("title{0}filepath\n\"a, b\"{0}img/0.jpg\n", separator);
      EXPECT_EQ(Rows(separator + std::string(name), text), rows) << separator;
    }
    EXPECT_EQ(Rows(',' + std::string(name), "title,filepath\n\"a, b\",img/0.jpg\n"), rows);
    EXPECT_EQ(Rows('=' + std::string(name), "sep=;\r\nfilepath;title\r\nimg/0.jpg;a, b\r\n"), rows);
  }
  EXPECT_TRUE(Holds(Info("u.csv", "title;filepath\na;img/0.jpg\n").details,
                    "separated by semicolons, image from 'filepath'"));
  EXPECT_FALSE(Holds(Info("v.csv", "title,filepath\na,img/0.jpg\n").details, "separated"));
}

TEST_F(TableRowsTest, AreSeparatedAsTheUserSays) {
  // Both are there: the ending decides, or the user.
  const std::string text = "filepath,size;title\nimg/0.jpg,1;one, two\n";
  EXPECT_TRUE(
      Holds(Error("t.csv", text), "2 columns, separated by commas: 'filepath', 'size;title'"));
  EXPECT_EQ(Rows("u.csv", "file;a,caption\nimg/0.jpg;one\n",
                 Keys({.image = "file", .caption = "a,caption", .separator = ';'})),
            (Lines{"img/0.jpg|0.jpg|one|-1|"}));
  EXPECT_EQ(ParseSeparator("tab"), '\t');
  EXPECT_EQ(ParseSeparator("\\t"), '\t');
  EXPECT_EQ(ParseSeparator("|"), '|');
  for (const char* wrong : {"", "a", ";;", "\"", "\n", "7"})
    EXPECT_FALSE(ErrorOf([&] { ParseSeparator(wrong); }).empty()) << wrong;
}

// The rows, and so the places that are kept of them, depend on the separator.
TEST_F(TableRowsTest, AreFoundAnewWithAnotherSeparator) {
  const std::string path =
      Write("t.csv", "path,caption,x;more\nimg/0.jpg,\"a;b\nimg/1.jpg,c\n,d\",e\nimg/2.jpg,f\n");
  const OpenedSource commas = OpenSourceWithInfo(path);
  EXPECT_EQ(commas.source->size(), 2);
  const OpenedSource semicolons = OpenSourceWithInfo(
      path, Keys({.image = "path,caption,x", .caption = "more", .separator = ';'}));
  EXPECT_EQ(semicolons.source->size(), 4);
  EXPECT_NE(semicolons.parts[0].hash, commas.parts[0].hash);
  EXPECT_EQ(OpenSourceWithInfo(path).parts[0].hash, commas.parts[0].hash);
  EXPECT_EQ(OpenSourceWithInfo(path, Keys({.separator = ','})).parts[0].hash, commas.parts[0].hash);
}

TEST_F(TableRowsTest, HaveTheirFieldsUnderTheNamesOfImageFolders) {
  const Lines rows{"img/0.jpg|0.jpg|a cat|-1|"};
  EXPECT_EQ(Rows("metadata.csv", "file_name,text\nimg/0.jpg,a cat\n"), rows);
  EXPECT_EQ(Rows("metadata.jsonl", R"({"file_name": "img/0.jpg", "text": "a cat"})"), rows);
  EXPECT_EQ(Rows("a.csv", "img_path,Caption\nimg/0.jpg,a cat\n"), rows);
  EXPECT_EQ(Rows("b.csv", " image_path , caption \nimg/0.jpg,a cat\n"), rows);
}

TEST_F(TableRowsTest, HaveTheirFieldsWhereTheUserSays) {
  const Lines rows{"img/0.jpg|0.jpg|a cat|-1|"};
  EXPECT_EQ(Rows("a.csv", "pic,path,text,alt\nimg/0.jpg,x,y,a cat\n",
                 Keys({.image = "pic", .caption = "ALT"})),
            rows);
  EXPECT_EQ(Rows("a.jsonl", R"({"pic": "img/0.jpg", "text": "y", "alt": ["a cat"]})",
                 Keys({.image = "pic", .caption = "alt"})),
            rows);
  EXPECT_EQ(Rows("b.jsonl", R"({"at": {"pic": "img/0.jpg"}, "alt": "a cat"})",
                 Keys({.image = "json.at.pic", .caption = "alt"})),
            rows);
  EXPECT_TRUE(
      Holds(Error("b.csv", "pic,alt\nimg/0.jpg,a cat\n"),
            "2 columns, separated by commas: 'pic', 'alt'; none is named like an image path "
            "(filepath, image, path, file_name, "));
  EXPECT_TRUE(Holds(Error("b.csv", "pic,alt\nx,y\n"), "; set it with --image-key COLUMN"));
  EXPECT_TRUE(Holds(Error("b.csv", "path,alt\nx,y\n"), "; set it with --caption-key COLUMN"));
  EXPECT_TRUE(Holds(Error("b.csv", "img/0.jpg;a cat\nimg/1.jpg;a dog\n"),
                    "these look like values; add a first line with the names of the columns, as in "
                    "'filepath;caption'"));
  EXPECT_TRUE(Holds(Error("b.csv", "path,text\nx,y\n", Keys({.separator = ';'})),
                    "--separator is semicolons, but the line has commas; leave it out"));
  EXPECT_TRUE(Holds(Error("b.csv", "path,text\nx,y\n", Keys({.image = "pic"})),
                    "--image-key is 'pic', which is not one of them"));
  EXPECT_TRUE(Holds(Error("b.csv", "url,text\nx,y\n"), "img2dataset"));
  EXPECT_TRUE(Holds(Error("b.csv", "path,text,path\nx,y,z\n"), "'path' appears twice"));
}

TEST_F(TableRowsTest, OfJsonLinesWithoutKnownNamesAreRefused) {
  const std::string error = Error("t.jsonl", "{\"img\": 3, \"pic\": \"a\", \"alt\": \"b\"}\n");
  EXPECT_TRUE(Holds(error, "the first rows have the fields 'img', 'pic', 'alt'")) << error;
  EXPECT_TRUE(Holds(error, "; set it with --image-key FIELD")) << error;
  EXPECT_TRUE(
      Holds(Error("t.jsonl", "{\"path\": \"a\", \"alt\": \"b\"}\n"), "--caption-key FIELD"));
  EXPECT_TRUE(
      Holds(Error("t.jsonl", "{\"path\": \"a\", \"text\": \"b\"}\n", Keys({.caption = "alt"})),
            "--caption-key is 'alt'"));
  EXPECT_TRUE(Holds(Error("t.jsonl", "[\n1\n]\n"), "one object per line"));
  SourceOptions labelled;
  labelled.labels = "";
  EXPECT_TRUE(Holds(Error("t.jsonl", "{\"path\": \"a\"}\n", labelled), "--label-key FIELD"));
  EXPECT_TRUE(Holds(Info("u.jsonl", "{\"path\": \"img/0.jpg\", \"text\": \"b\"}\n").details,
                    "image from 'path', captions from 'text'"));
}

TEST_F(TableRowsTest, OfJsonLinesAreReadAsPythonReadsThem) {
  EXPECT_EQ(
      Rows("t.jsonl",
           R"({"path": "img/0.jpg", "text": "a", "score": NaN, "x": [Infinity, -Infinity, 1e400]})"
           "\n"
           R"({"path": "img/1.jpg", "text": "\ud83d b", "label": 3})"
           "\n"
           R"({"path": "img/2.jpg", "text": "c", "text": "d"})"
           "\n"
           R"({"path": "img/2.jpg", "text": "c",})"
           "\n"),
      (Lines{"img/0.jpg|0.jpg|a|-1|", "img/1.jpg|1.jpg|\xEF\xBF\xBD b|3|", "img/2.jpg|2.jpg|d|-1|",
             "|||-1|bad_row"}));
}

TEST_F(TableRowsTest, WhoseImagesAllMissAreSaidToAtTheStart) {
  const std::string deep = folder_ / "deep";
  std::filesystem::create_directory(deep);
  const auto warnings = [&](const std::string& text) {
    return Info("deep/t.csv", "path,text\n" + text, Renewing()).warnings;
  };
  const auto lines = warnings("img/0.jpg,a\nimg/1.jpg,b\n");
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_TRUE(Holds(lines[0], "none of the images exists (2 checked; the first is 'img/0.jpg')"));
  EXPECT_TRUE(Holds(lines[0], "relative to the table's folder, '" + deep + "'"));
  EXPECT_FALSE(Holds(lines[0], "working folder"));
  EXPECT_TRUE(warnings("../img/0.jpg,aaa\nnone.jpg,b\n").empty());
  // A path that exists from the folder that the tests run in.
  const auto here = warnings("tests/CMakeLists.txt,a\n");
  ASSERT_EQ(here.size(), 1u);
  EXPECT_TRUE(Holds(here[0], "they exist relative to the working folder")) << here[0];
  SourceOptions refusing = Renewing();
  refusing.refuse_missing_images = true;
  EXPECT_TRUE(Holds(Error("deep/t.csv", "path,text\nimg/0.jpg,a\n", refusing),
                    "deep/t.csv': none of the images exists (1 checked"));
  EXPECT_EQ(Error("deep/t.csv", "path,text\n../img/0.jpg,aaa\nnone.jpg,b\n", refusing), "");
  std::string regular = "path,text\n";  // steps of 8 over its rows meet none that exists
  for (int i = 0; i < 4096; ++i) regular += i % 8 == 3 ? "../img/0.jpg,a\n" : "none.jpg,b\n";
  EXPECT_EQ(Error("deep/t.csv", regular, refusing), "");
  EXPECT_TRUE(Holds(Error("deep/u.csv", "path,text\nhttps://host/0.jpg,a\n", refusing),
                    "the images are URLs ('https://host/0.jpg')"));
}

std::string Gzip(const std::string& text) {
  std::string out(text.size() + 1000, '\0');
  z_stream z{};
  EXPECT_EQ(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  z.avail_in = static_cast<uInt>(text.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&z, Z_FINISH), Z_STREAM_END);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

TEST_F(TableRowsTest, OfAGzipFileAreReadInAnyOrder) {
  std::string first = "path\ttext\n", second;
  for (int i = 0; i < 20'000; ++i)
    (i < 10'000 ? first : second) += fmt::format("img/0.jpg\tcaption {}\n", i * 7919 % 20'000);
  // Members one behind the other, with zeros to fill up a block.
  const std::string path = Write("t.tsv.gz", Gzip(first) + Gzip(second) + std::string(100, '\0'));
  const auto source = OpenSource(path);
  ASSERT_EQ(source->size(), 20'000);
  for (const int i : {19'999, 0, 12'345, 64, 10'000}) {
    const RecordBlock block = source->Read(SampleIndex{i}, 1, {});
    EXPECT_EQ(block.records[0].captions[0].text, fmt::format("caption {}", i * 7919 % 20'000));
  }
  EXPECT_EQ(OpenSourceWithInfo(path).parts[0].walked, 0);
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path()))
    EXPECT_FALSE(Holds(entry.path(), ".tmp")) << entry.path();
}

TEST_F(TableRowsTest, OfADamagedGzipFileAreRefused) {
  const std::string whole = Gzip("path,text\nimg/0.jpg,one\n" + std::string(100'000, '\n'));
  EXPECT_TRUE(Holds(Error("a.csv.gz", whole.substr(0, whole.size() - 9)), "truncated gzip stream"));
  EXPECT_TRUE(Holds(Error("b.csv.gz", ""), "truncated gzip stream"));
  EXPECT_TRUE(Holds(Error("c.csv.gz", "path,text\nimg/0.jpg,one\n"), "not a gzip file"));
  std::string damaged = whole;
  damaged[damaged.size() - 6] ^= 1;
  EXPECT_TRUE(Holds(Error("d.csv.gz", damaged), "damaged"));
  EXPECT_TRUE(Holds(Error("e.csv.gz", Gzip(std::string(100 << 20, '\n'))), "more than 200 times"));
}

TEST_F(TableRowsTest, OfOtherFilesAreRefusedByWhatTheyAre) {
  using namespace std::string_literals;
  EXPECT_TRUE(Holds(Error("a.csv", "\xFF\xFEp\0a\0t\0h\0"s), "UTF-16"));
  EXPECT_TRUE(Holds(Error("b.csv", "p\0a\0t\0h\0,\0"s), "UTF-16"));
  EXPECT_TRUE(Holds(Error("c.jsonl", "\xFF\xFE{\0"s), "UTF-16"));
  EXPECT_TRUE(Holds(Error("d.csv", "PK\3\4 and so on"s), "Excel"));
  EXPECT_TRUE(Holds(Error("e.csv", "PAR1 and so on"s), "Parquet"));
  EXPECT_TRUE(Holds(Error("f.csv", Gzip("path,text\n")), ".gz"));
  EXPECT_TRUE(Holds(Error("g.csv", "sep=;\n"), "empty"));
}

TEST_F(TableRowsTest, MayHaveAnyBytesInTheirPaths) {
  using namespace std::string_literals;
  const Lines rows = Rows("t.csv", "path,text\nimg/0.jpg\0x,a\n\xFF\xFE/\x1B[2J,b\nimg/1.jpg,c\n"s);
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_TRUE(rows[0].ends_with("missing"));
  EXPECT_TRUE(rows[1].ends_with("missing"));
  EXPECT_EQ(rows[2], "img/1.jpg|1.jpg|c|-1|");
}

TEST_F(TableRowsTest, OfManyFieldsOrBytesTakeLinearTime) {
  const auto start = std::chrono::steady_clock::now();
  const std::string large(15 << 20, '"');
  EXPECT_EQ(Rows("a.csv", "path,text\nimg/0.jpg" + std::string(1'000'000, ',') + "\nimg/1.jpg,b\n"),
            (Lines{"img/0.jpg|||-1|bad_row", "img/1.jpg|1.jpg|b|-1|"}));
  EXPECT_EQ(Rows("b.csv", "path,text\nimg/0.jpg,\"" + large + "\"\nimg/1.jpg,b\n").size(), 2u);
  EXPECT_EQ(Rows("c.jsonl", "{\"path\": \"img/0.jpg\", \"text\": \"a\"}\n{\"path\": \"" +
                                std::string(17 << 20, 'x') + "\"}\n" +
                                "{\"path\": \"img/1.jpg\", \"text\": \"b\"}\n"),
            (Lines{"img/0.jpg|0.jpg|a|-1|", "|||-1|bad_row", "img/1.jpg|1.jpg|b|-1|"}));
  std::string fields = "{\"path\": \"img/0.jpg\", \"text\": \"a\"";
  for (int i = 0; i < 200'000; ++i) fields += fmt::format(", \"{}\": 1", i);
  EXPECT_EQ(Rows("d.jsonl", fields + "}\n"), (Lines{"img/0.jpg|0.jpg|a|-1|"}));
  EXPECT_TRUE(Holds(Error("d.csv", std::string(1 << 20, ',') + "\n"), "more than 10000 columns"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
}

}  // namespace
}  // namespace fastclip

#include "pipeline/convert/convert.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>
#include <csignal>
#include <nlohmann/json.hpp>

#include "pipeline/base/in_order.h"
#include "pipeline/pixels/encode.h"
#include "pipeline/records/json_members.h"
#include "pipeline/shards/tar_scan.h"
#include "pipeline/sources/open_source.h"
#include "tests/pipeline/shard_files.h"
#include "tests/support/exif_maker.h"
#include "tests/support/paths.h"

namespace fastclip {
namespace {

namespace fs = std::filesystem;

class ConvertTest : public testing::Test {
 protected:
  ConvertTest() {
    Image wide{90, 40, std::vector<std::uint8_t>(90 * 40 * 3, 200)};
    WriteFile(folder_ / "wide.png", AsString(EncodePng(wide)));
    WriteFile(folder_ / "wide.jpg", AsString(EncodeJpeg(wide, 90)));
    Image large{400, 300, std::vector<std::uint8_t>(400 * 300 * 3, 10)};
    WriteFile(folder_ / "large.png", AsString(EncodePng(large)));
    WriteFile(folder_ / "bad.png", "\x89PNG and then nothing");
    WriteFile(folder_ / "t.tsv",
              "path\tcaption\tcaption2\n"
              "wide.png\ta wide one\t\n"
              "gone.png\tgone\t\n"
              "large.png\ta large one\tanother word\n"
              "bad.png\tbad\t\n"
              "wide.jpg\tcaf\xc3\xa9\t\n"
              "wide.png\t \t\n");
  }
  ConvertReport Run(const std::string& out, const ConvertOptions& options) const {
    return Pack(folder_ / "t.tsv", out, options);
  }
  ConvertReport Pack(const std::string& list, const std::string& out,
                     const ConvertOptions& options) const {
    ConvertFolder folder(folder_ / out);
    return Convert(*OpenSource(list, Renewing()), folder, options);
  }

  TemporaryFolder folder_;
};

/// A BMP of one column of black pixels, 24 bits each.
std::string LongBmp(std::uint32_t height) {
  std::string bytes = "BM";
  const auto add = [&](std::uint32_t value, int size) {
    for (int i = 0; i < size; ++i) bytes += static_cast<char>(value >> (8 * i));
  };
  add(54 + 4 * height, 4);
  add(0, 4);
  add(54, 4);
  add(40, 4);
  add(1, 4);
  add(height, 4);
  add(1, 2);
  add(24, 2);
  for (int i = 0; i < 6; ++i) add(0, 4);
  return bytes + std::string(std::size_t{4} * height, '\0');
}

ConvertOptions Small() {
  ConvertOptions options;
  options.resize = 20;
  options.encoding = Encoding::kJpeg;
  options.background = Rgb{255, 255, 255};
  return options;
}

TEST_F(ConvertTest, PacksCountsAndNames) {
  const ConvertReport report = Run("out", Small());
  EXPECT_EQ(report.done.rows, 6);
  EXPECT_EQ(report.done.written, 3);
  EXPECT_EQ(report.shards, 1);
  EXPECT_EQ(report.skips[Skip::kMissing], 1);
  EXPECT_EQ(report.skips[Skip::kNoCaption], 1);
  ASSERT_EQ(report.skipped.size(), 3u);
  EXPECT_EQ(report.skipped[1].key, "bad.png");
  EXPECT_EQ(report.skipped[1].row, 3);

  const auto source = OpenSource(folder_ / "out/*.tar");
  ASSERT_EQ(source->size(), 3);
  const RecordBlock block = source->Read(SampleIndex{0}, 3, {});
  EXPECT_EQ(block.records[1].key, "000000001");
  ASSERT_EQ(block.records[1].captions.size(), 2u);
  EXPECT_EQ(block.records[1].captions[1].text, "another word");
  EXPECT_EQ(block.records[2].captions[0].text, "caf\xc3\xa9");
  const auto size = std::get<ImageSize>(ReadImageSize(block.records[0].image));
  EXPECT_EQ(size.width, 45);
  EXPECT_EQ(size.height, 20);
  const auto json = nlohmann::json::parse(ReadFile(folder_ / "out/convert.json"));
  EXPECT_EQ(json["records"], 3);
  EXPECT_EQ(json["named"].size(), 3u);
}

TEST_F(ConvertTest, GivesTheSameBytesForAnyNumberOfThreads) {
  std::string rows = "path\ttext\n";
  for (int i = 0; i < 150; ++i) {
    rows +=
        std::string(i % 3 == 0 ? "large.png" : "wide.jpg") + "\tnumber " + std::to_string(i) + "\n";
  }
  WriteFile(folder_ / "t.tsv", rows);
  ConvertOptions options = Small();
  options.records_per_shard = 40;
  for (const int threads : {1, 3}) {
    options.threads = threads;
    EXPECT_EQ(Run("out" + std::to_string(threads), options).shards, 4);
  }
  for (const char* name : {"00000.tar", "00003.tar", "convert.json"}) {
    EXPECT_EQ(ReadFile(folder_ / ("out1/" + std::string(name))),
              ReadFile(folder_ / ("out3/" + std::string(name))));
  }
  const auto source = OpenSource(folder_ / "out3/{00000..00003}.tar");
  for (const std::int64_t i : {0, 39, 40, 149}) {
    EXPECT_EQ(source->Read(SampleIndex{i}, 1, {}).records[0].captions[0].text,
              "number " + std::to_string(i));
  }
  EXPECT_EQ(source->Read(SampleIndex{149}, 1, {}).records[0].key, "0000329");
}

TEST_F(ConvertTest, KeepsBytesWhereNothingIsToChange) {
  const ConvertReport report = Run("out", {});
  EXPECT_EQ(report.done.written, 3);
  const auto source = OpenSource(folder_ / "out/*.tar");
  const RecordBlock block = source->Read(SampleIndex{0}, 3, {});
  EXPECT_EQ(AsString(block.records[0].image), ReadFile(folder_ / "wide.png"));
  EXPECT_EQ(AsString(block.records[2].image), ReadFile(folder_ / "wide.jpg"));
}

TEST_F(ConvertTest, TurnsPicturesForGoodWhereThatIsAskedFor) {
  const Image wide{90, 40, std::vector<std::uint8_t>(90 * 40 * 3, 200)};
  WriteFile(folder_ / "turned.jpg", AsString(WithExif(EncodeJpeg(wide, 90), ExifOf(8))));
  WriteFile(folder_ / "t.tsv", "path\ttext\nturned.jpg\ta tall one\n");
  ConvertOptions options;
  options.decode.exif_rotate = true;
  EXPECT_THROW(Run("kept", options), std::invalid_argument);
  options.encoding = Encoding::kPng;
  Run("out", options);
  const RecordBlock block = OpenSource(folder_ / "out/*.tar")->Read(SampleIndex{0}, 1, {});
  const auto size = std::get<ImageSize>(ReadImageSize(block.records[0].image));
  EXPECT_EQ(size.width, 40);
  EXPECT_EQ(size.height, 90);
}

TEST_F(ConvertTest, LeavesOutWhatIsOverTheCap) {
  ConvertOptions options = Small();
  options.decode.max_pixels = 100'000;
  const ConvertReport report = Run("out", options);
  EXPECT_EQ(report.skips[Skip::kTooLarge], 1);
  EXPECT_EQ(report.skipped[1].key, "large.png");
}

TEST_F(ConvertTest, LeavesOutWhatAPngCannotHold) {
  // More than a PNG of ours may have, and no more than is decoded.
  WriteFile(folder_ / "long.jpg", AsString(EncodeJpeg({1, 1, {1, 2, 3}}, 90)));
  WriteFile(folder_ / "long.bmp", LongBmp(1'500'000));
  WriteFile(folder_ / "t.tsv", "path\ttext\nlong.bmp\ta line\nlong.jpg\ta dot\n");
  ConvertOptions options;
  options.encoding = Encoding::kPng;
  options.decode.formats = ParsePictureFormats(std::vector<std::string>{"jpeg", "bmp"});
  const ConvertReport report = Run("out", options);
  EXPECT_EQ(report.done.written, 1);
  EXPECT_EQ(report.skips[Skip::kTooLarge], 1);
}

TEST_F(ConvertTest, EndsShardsByBytes) {
  ConvertOptions options;
  options.max_bytes = 1;
  EXPECT_EQ(Run("out", options).shards, 3);
  EXPECT_EQ(OpenSource(folder_ / "out/{00000..00002}.tar")->size(), 3);
}

TEST_F(ConvertTest, IsThereAsAWholeOrNotAtAll) {
  EXPECT_EQ(Run("out/", Small()).done.written, 3);
  EXPECT_FALSE(fs::exists(folder_ / "out.unfinished"));
  EXPECT_FALSE(fs::exists(folder_ / "out/convert.lock"));
  EXPECT_NE(ErrorOf([&] { Run("out", Small()); }).find("exists and is not"), std::string::npos);

  WriteFile(folder_ / "t.tsv", "path\ttext\nbad.png\tx\n");
  EXPECT_NE(ErrorOf([&] { Run("none", Small()); }).find("no row can be packed (1 read)"),
            std::string::npos);
  EXPECT_FALSE(fs::exists(folder_ / "none"));
  EXPECT_FALSE(fs::exists(folder_ / "none.unfinished"));
}

TEST_F(ConvertTest, SaysWhatToDoAboutGifsAndCaptionsInLatin1) {
  WriteFile(folder_ / "a.gif", "GIF89a");
  WriteFile(folder_ / "t.tsv", "path\tcaption\na.gif\tone\nwide.png\ttwo\nwide.jpg\tcaf\xE9\n");
  const ConvertReport report = Run("out", {});
  EXPECT_EQ(report.done.written, 1);
  EXPECT_EQ(report.notes,
            (std::vector<std::string>{
                "1 of 3 checked images is skipped (as a.gif): GIF is off; add it with --formats "
                "jpeg,png,webp,gif",
                "the captions are not UTF-8; save the table as UTF-8 (iconv -f LATIN1 -t UTF-8)"}));
  WriteFile(folder_ / "t.tsv", "path\tcaption\na.gif\tone\n");
  EXPECT_NE(ErrorOf([&] { Run("none", {}); }).find("GIF is off; add it with --formats"),
            std::string::npos);
  WriteShard(folder_ / "gif.tar", {{"a.gif", "GIF89a"}, {"a.txt", "x"}});
  EXPECT_NE(ErrorOf([&] { Pack(folder_ / "gif.tar", "none", {}); }).find("gif is off; add it with"),
            std::string::npos);
}

TEST_F(ConvertTest, LeavesNothingWhereTheDiskIsFull) {
  // A limit on the size of files stands for the full disk.
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{1024, before.rlim_max};
  const auto source = OpenSource(folder_ / "t.tsv");
  setrlimit(RLIMIT_FSIZE, &small);
  const std::string error = ErrorOf([&] {
    ConvertFolder folder(folder_ / "out");
    Convert(*source, folder, Small());
  });
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_NE(error.find("00000.tar: File too large"), std::string::npos) << error;
  EXPECT_FALSE(fs::exists(folder_ / "out"));
  EXPECT_FALSE(fs::exists(folder_ / "out.unfinished"));
  EXPECT_EQ(Run("out", Small()).done.written, 3);
}

TEST_F(ConvertTest, RefusesOptionsThatDoNotGoTogether) {
  ConvertOptions options = Small();
  options.encoding = Encoding::kKeep;
  EXPECT_THROW(Run("out", options), std::invalid_argument);
  options = Small();
  options.quality = 0;
  EXPECT_THROW(Run("out", options), std::invalid_argument);
  EXPECT_FALSE(fs::exists(folder_ / "out.unfinished"));
}

/// Name and bytes of each member of a shard, as it is walked.
Members MembersOf(const std::string& path) {
  const std::string bytes = ReadFile(path);
  Members members;
  WalkTar(AsBytes(bytes), [&](const TarMember& member) {
    members.emplace_back(member.path, bytes.substr(static_cast<std::size_t>(member.data_at),
                                                   static_cast<std::size_t>(member.size)));
  });
  return members;
}

std::string PngText(int width, int height) {
  return AsString(EncodePng(
      {width, height, std::vector<std::uint8_t>(static_cast<std::size_t>(3 * width * height))}));
}

TEST_F(ConvertTest, KeepsWhatShardsHoldByteForByte) {
  const std::string dot = PngText(1, 1);
  const Members members = {
      {"d/b.json", R"({"key": "7", "similarity": 0.31, "width": 1, "odd": NaN, "width":1 })"},
      {"d/b.jpg", dot},
      {"d/b.seg.png", "a mask"},
      {"d/b.txt", " a caption\n"},
      {"d/b.npy", std::string("\x93NUMPY\0", 7)},
      {"caf\xc3\xa9/a\xff.PNG", dot},
      {"caf\xc3\xa9/a\xff.txt", "another"},
      {std::string(200, 'n') + ".png", dot},
      {std::string(200, 'n') + ".txt", "a long name"},
      {"c.png", dot},
      {"c.cls", "7.0"}};
  WriteShard(folder_ / "s.tar", members);
  const ConvertReport report = Pack(folder_ / "s.tar", "out", {});
  EXPECT_EQ(report.copied, 4);
  EXPECT_TRUE(report.notes.empty());
  EXPECT_EQ(MembersOf(folder_ / "out/00000.tar"), members);
}

TEST_F(ConvertTest, PutsTheNewPictureIntoTheOldOnesPlace) {
  WriteShard(folder_ / "s.tar",
             {{"a.json", R"({"id":"a", "width": 90,"height":40 , "original_width": 90})"},
              {"a.png", PngText(90, 40)},
              {"a.seg.png", "a mask"},
              {"a.txt", "one"},
              {"b.webp", PngText(8, 8)},
              {"b.txt", "two"},
              {"b.jpg.txt", "not the picture's name"}});
  ConvertOptions options = Small();
  options.decode.formats = ParsePictureFormats(std::vector<std::string>{"png", "webp"});
  EXPECT_EQ(Pack(folder_ / "s.tar", "out", options).copied, 2);
  const Members members = MembersOf(folder_ / "out/00000.tar");
  ASSERT_EQ(members.size(), 7u);
  EXPECT_EQ(members[0].second, R"({"id":"a", "width": 45,"height":20 , "original_width": 90})");
  EXPECT_EQ(members[1].first, "a.jpg");
  EXPECT_TRUE(members[1].second.starts_with("\xff\xd8"));
  EXPECT_EQ(members[2].second, "a mask");
  EXPECT_EQ(members[4].first, "b.jpg");
  EXPECT_EQ(members[6].second, "not the picture's name");
}

TEST_F(ConvertTest, TellsOfMembersThatGiveWayToTheNewPicture) {
  WriteShard(folder_ / "s.tar", {{"a.jpg", "not of a format that is asked for"},
                                 {"a.png", PngText(9, 4)},
                                 {"a.txt", "one"},
                                 {"README", "of no record"},
                                 {"b.png", PngText(9, 4)},
                                 {"b.txt", "two"}});
  SourceOptions source = Renewing();
  source.formats = ParsePictureFormats(std::vector<std::string>{"png"});
  ConvertFolder folder(folder_ / "out");
  const ConvertReport report = Convert(*OpenSource(folder_ / "s.tar", source), folder, Small());
  EXPECT_EQ(report.replaced, 1);
  EXPECT_EQ(report.others, 1);
  EXPECT_EQ(report.notes.size(), 2u);
  const Members members = MembersOf(folder_ / "out/00000.tar");
  ASSERT_EQ(members.size(), 4u);
  EXPECT_EQ(members[0].first, "a.jpg");
  EXPECT_TRUE(members[0].second.starts_with("\xff\xd8"));
}

TEST_F(ConvertTest, GivesManyRecordsOfOneKeyTheirOwnInLinearTime) {
  Members members;
  for (int i = 0; i < 6000; ++i) {  // of a shard, one key may begin anew where another came between
    members.emplace_back(i % 2 == 0 ? "a.png" : fmt::format("b{}.png", i), PngText(1, 1));
    members.emplace_back(i % 2 == 0 ? "a.txt" : fmt::format("b{}.txt", i), "text");
  }
  WriteShard(folder_ / "0.tar", members);
  const auto start = std::chrono::steady_clock::now();
  const ConvertReport report = Pack(folder_ / "0.tar", "out", {});
  EXPECT_EQ(report.renamed, 2999);
  EXPECT_EQ(report.first_renamed, "a → a-2");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

TEST_F(ConvertTest, GivesNoTwoRecordsOfAShardOneKey) {
  const auto record = [](const std::string& key, const std::string& caption) {
    return Members{{key + ".png", PngText(1, 1)}, {key + ".txt", caption}};
  };
  Members first = record("a", "1"), second = record("a", "4");
  for (const auto& more : {record("a", "2"), record("a-2", "3")})
    first.insert(first.end(), more.begin(), more.end());
  WriteShard(folder_ / "0.tar", first);
  WriteShard(folder_ / "1.tar", second);
  const std::string list = (folder_ / "{0,1}.tar") + "::synthetic:1";
  const ConvertReport report = Pack(list, "out", {});
  EXPECT_EQ(report.done.written, 5);
  EXPECT_EQ(report.renamed, 3);
  EXPECT_NE(report.notes.at(0).find("a → a-2"), std::string::npos) << report.notes[0];
  const auto source = OpenSource(folder_ / "out/*.tar");
  std::string keys, captions;
  for (std::int64_t i = 0; i < source->size(); ++i) {
    const RecordBlock block = source->Read(SampleIndex{i}, 1, {});
    keys += std::string(block.records[0].key) + " ";
    captions += block.records[0].captions[0].text.substr(0, 1);
  }
  EXPECT_EQ(keys, "a a-2 a-2-2 a-3 000000004 ");
  EXPECT_EQ(captions.substr(0, 4), "1234");
  // In shards of their own they keep it.
  ConvertOptions options;
  options.records_per_shard = 1;
  EXPECT_EQ(Pack(list, "apart", options).renamed, 0);
}

TEST_F(ConvertTest, LeavesOutOfShardsWhatTrainingPassesOver) {
  WriteShard(folder_ / "s.tar", {{"a.png", PngText(1, 1)},
                                 {"a.txt", " "},
                                 {"b.txt", "no picture"},
                                 {"c.png", "<html>404</html>"},
                                 {"c.txt", "none"},
                                 {"d.png", PngText(1, 1)},
                                 {"d.cls", "cat"}});
  const ConvertReport report = Pack(folder_ / "s.tar", "out", {});
  EXPECT_EQ(report.skips[Skip::kNoCaption], 1);
  EXPECT_EQ(report.skips[Skip::kNoImage], 1);
  EXPECT_EQ(report.skips[Skip::kUndecodable], 1);
  EXPECT_EQ(MembersOf(folder_ / "out/00000.tar").back().second, "cat") << "a label is enough";
}

TEST_F(ConvertTest, PutsWhatElseATableHasIntoTheJson) {
  WriteFile(folder_ / "t.csv",
            "path,caption,label,score,width,score,\"note, or two\"\n"
            "wide.png,a wide one,3.0,0.5,wide,,\"say \"\"hi\"\"\"\n"
            "wide.png,another,cat,1e400,,7,caf\xe9\n");
  const ConvertReport csv = Pack(folder_ / "t.csv", "csv", {});
  EXPECT_EQ(csv.bad_labels, 1);
  EXPECT_EQ(csv.moved_fields, std::set<std::string>{"width"});
  EXPECT_EQ(csv.notes.size(), 2u);
  const Members members = MembersOf(folder_ / "csv/00000.tar");
  ASSERT_EQ(members.size(), 7u) << "the second has no .cls";
  EXPECT_EQ(members[2].second, "3");
  const auto json = nlohmann::json::parse(members[3].second);
  EXPECT_EQ(json.at("score"), "0.5");
  EXPECT_EQ(json.at("score.1"), "");
  EXPECT_EQ(json.at("source_width"), "wide");
  EXPECT_EQ(json.at("width"), 90);
  EXPECT_EQ(json.at("note, or two"), "say \"hi\"");
  EXPECT_FALSE(json.contains("path") || json.contains("label"));
  EXPECT_EQ(nlohmann::json::parse(members[6].second).at("label"), "cat");

  WriteFile(folder_ / "t.jsonl",
            R"({"image": "wide.png", "text": "one", "p\u0075nsafe": NaN, "key": "k7",)"
            R"( "more": {"a": [1, 2e400]}, "label": 1.5})"
            "\n"
            R"({"image": "wide.png", "captions": ["one", "two"], "label": 2})"
            "\n");
  const ConvertReport rows = Pack(folder_ / "t.jsonl", "jsonl", {});
  EXPECT_EQ(rows.moved_fields, std::set<std::string>{"key"});
  EXPECT_EQ(rows.bad_labels, 1);
  const Members packed = MembersOf(folder_ / "jsonl/00000.tar");
  ASSERT_EQ(packed.size(), 7u);
  EXPECT_TRUE(packed[2].second.ends_with(
      R"(,"punsafe":NaN,"source_key":"k7","more":{"a": [1, 2e400]},"label":1.5})"))
      << packed[2].second;
  EXPECT_TRUE(packed[6].second.ends_with(R"("captions":["one","two"]})")) << packed[6].second;
}

TEST(WithNumbers, ChangesTheNumbersAndNothingElse) {
  const std::pair<std::string_view, std::int64_t> to[] = {{"width", 7}, {"height", 12345}};
  for (const auto& [json, expected] : std::vector<std::pair<std::string, std::string>>{
           {R"({"width":1,"height":2})", R"({"width":7,"height":12345})"},
           {R"( { "width" : 1.5e3 , "x":{"width":1}, "height":-2} )",
            R"( { "width" : 7 , "x":{"width":1}, "height":12345} )"},
           {R"({"a":"width\":1","width":1, "b":[1,{"height":2}], "width":2})",
            R"({"a":"width\":1","width":7, "b":[1,{"height":2}], "width":7})"},
           {R"({"n":NaN,"width":null,"height":"2"})", R"({"n":NaN,"width":null,"height":"2"})"},
           {"[1]", "[1]"},
           {"", ""},
           {R"({"width":1)", R"({"width":7)"},
           {R"({"width)", R"({"width)"},
           {R"({"a\)", R"({"a\)"},
           {"{}", "{}"}}) {
    EXPECT_EQ(WithNumbers(json, to), expected) << json;
  }
}

class ConvertFolderTest : public testing::Test {
 protected:
  std::string out() const { return folder_ / "out"; }
  std::string error(const std::string& name = "out") const {
    return ErrorOf([&] { ConvertFolder folder(folder_ / name); });
  }
  static void Make(ConvertFolder& folder) {
    WriteFile(folder.unfinished() / "00000.tar", "shard");
    WriteFile(folder.unfinished() / "convert.json", "{}");
  }
  TemporaryFolder folder_;
};

TEST_F(ConvertFolderTest, BelongsToOneProcessAtATime) {
  ConvertFolder first(out());
  Make(first);
  EXPECT_NE(error().find("another fastclip shards convert is writing to it (process "),
            std::string::npos)
      << error();
  first.Finish();
  EXPECT_EQ(ReadFile(out() + "/00000.tar"), "shard");
  EXPECT_FALSE(fs::exists(out() + ".unfinished") || fs::exists(out() + "/convert.lock"));
  EXPECT_NE(error().find("exists and is not empty"), std::string::npos);
}

TEST_F(ConvertFolderTest, RemovesWhatAKilledOneLeftAndSaysSo) {
  const std::string left = out() + ".unfinished/";
  fs::create_directory(left);
  WriteFile(left + "convert.lock", "process 1 on host\n");
  for (const char* name : {"00000.tar", "00001.tar.host.12.0.tmp", "convert.json"}) {
    WriteFile(left + name, "left");
  }
  const ConvertFolder folder(out());
  EXPECT_NE(folder.removed().find("removed 3 files left by an earlier convert"), std::string::npos)
      << folder.removed();
  EXPECT_FALSE(fs::exists(left + "00000.tar"));
}

TEST_F(ConvertFolderTest, NeverRemovesFilesOfOthers) {
  const std::string unfinished = out() + ".unfinished/";
  fs::create_directory(unfinished);
  WriteFile(unfinished + "00000.tar", "mine");
  EXPECT_NE(error().find("00000.tar: was not made by fastclip"), std::string::npos) << error();
  WriteFile(unfinished + "convert.lock", "process 1 on host\n");
  WriteFile(unfinished + "cats.tar", "mine");
  EXPECT_NE(error().find("cats.tar: was not made by fastclip"), std::string::npos) << error();
  EXPECT_EQ(ReadFile(unfinished + "00000.tar"), "mine");
  EXPECT_EQ(ReadFile(unfinished + "cats.tar"), "mine");
}

TEST_F(ConvertFolderTest, LeavesNothingWhereItIsNotFinished) {
  for (const bool there : {false, true}) {
    if (there) fs::create_directory(out());
    {
      ConvertFolder folder(out());
      Make(folder);
    }
    EXPECT_EQ(fs::exists(out()), there);
    EXPECT_FALSE(fs::exists(out() + ".unfinished"));
  }
  EXPECT_TRUE(fs::is_empty(out()));
}

TEST_F(ConvertFolderTest, MayBeThereEmptyOrALink) {
  fs::create_directory(out());
  fs::create_directory_symlink("out", folder_ / "link");
  fs::create_directory_symlink("new", folder_ / "dangling");
  for (const char* name : {"out/", "link", "dangling"}) {
    ConvertFolder folder(folder_ / name);
    Make(folder);
    folder.Finish();
    EXPECT_EQ(ReadFile(folder_ / (std::string(name) + "/00000.tar")), "shard");
    EXPECT_FALSE(fs::exists(folder_ / (std::string(name) + "/convert.unfinished")));
    fs::remove(out() + "/00000.tar");
    fs::remove(out() + "/convert.json");
  }
  EXPECT_TRUE(fs::is_symlink(folder_ / "link") && fs::is_symlink(folder_ / "dangling"));
  WriteFile(folder_ / "file", "a file");
  EXPECT_NE(error("file").find("is not a folder"), std::string::npos);
}

TEST(ForEachInOrder, TakesInOrderWhoeverMakes) {
  for (const int threads : {1, 2, 7}) {
    std::vector<std::int64_t> taken;
    ForEachInOrder(
        200, threads, [](std::int64_t task) { return task * task; },
        [&](std::int64_t square) { taken.push_back(square); });
    ASSERT_EQ(taken.size(), 200u);
    for (std::int64_t i = 0; i < 200; ++i) EXPECT_EQ(taken[static_cast<std::size_t>(i)], i * i);
  }
}

TEST(ForEachInOrder, EndsWithTheFirstFailure) {
  const auto fail_at = [](std::int64_t bad_make, std::int64_t bad_take) {
    ForEachInOrder(
        100, 3,
        [=](std::int64_t task) {
          return task == bad_make ? throw std::runtime_error("make") : task;
        },
        [=](std::int64_t task) {
          if (task == bad_take) throw std::runtime_error("take");
        });
  };
  EXPECT_EQ(ErrorOf([&] { fail_at(50, -1); }), "make");
  EXPECT_EQ(ErrorOf([&] { fail_at(-1, 50); }), "take");
  EXPECT_EQ(ErrorOf([&] { fail_at(-1, -1); }), "");
}

}  // namespace
}  // namespace fastclip

#include "pipeline/shards/tar_source.h"

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <memory>
#include <thread>

#include "pipeline/records/block_builder.h"
#include "pipeline/shards/tar_scan.h"
#include "pipeline/sources/open_source.h"
#include "tests/pipeline/record_lines.h"
#include "tests/pipeline/shard_files.h"
#include "tests/support/paths.h"

namespace fastclip {
namespace {

/// A tar of any of libarchive's kinds ("gnutar", "pax", "ustar", "v7tar").
void WriteKind(const std::string& path, const char* kind, const Members& members) {
  archive* a = archive_write_new();
  ASSERT_EQ(archive_write_set_format_by_name(a, kind), ARCHIVE_OK);
  ASSERT_EQ(archive_write_open_filename(a, path.c_str()), ARCHIVE_OK);
  for (const auto& [name, bytes] : members) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, name.c_str());
    archive_entry_set_filetype(entry, name.ends_with('/') ? AE_IFDIR : AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_size(entry, static_cast<la_int64_t>(bytes.size()));
    ASSERT_GE(archive_write_header(a, entry), ARCHIVE_WARN) << archive_error_string(a);
    archive_write_data(a, bytes.data(), bytes.size());
    archive_entry_free(entry);
  }
  archive_write_close(a);
  archive_write_free(a);
}

TEST(MemberName, SplitsAtTheFirstDotOfTheBaseName) {
  const auto split = [](std::string_view path) {
    const auto name = SplitMemberName(path);
    return name ? fmt::format("{} + {}", name->key, name->field) : "none";
  };
  EXPECT_EQ(split("a.jpg"), "a + jpg");
  EXPECT_EQ(split("x.y/a.seg.png"), "x.y/a + seg.png");
  EXPECT_EQ(split("../../etc/passwd.txt"), "../../etc/passwd + txt");
  EXPECT_EQ(split("/abs/a.jpg"), "/abs/a + jpg");
  EXPECT_EQ(split("x/.hidden"), "none");
  EXPECT_EQ(split("noextension"), "none");
  EXPECT_EQ(split("__meta.json__"), "none");
  EXPECT_EQ(split(""), "none");
}

TEST(TarSource, GivesEachRecordItsMembers) {
  const TemporaryFolder folder;
  WriteShard(folder / "0.tar", {{"b.png", "second choice"},
                                {"b.jpg", "IMAGE"},
                                {"b.txt", " a caption \n"},
                                {"b.cls", "7\n"},
                                {"b.npy", "other"},
                                {"a.WEBP", "W"},
                                {"a.Txt", "upper case"},
                                {"c.jpg", "C"},
                                {"c.txt", "first"},
                                {"c.json", R"({"captions": ["one", "", "two"]})"},
                                {"d.jpg", "D"},
                                {"d.txt", "fallback"},
                                {"d.json", R"({"captions": )"}});
  const auto source = OpenSource(folder / "0.tar");
  ASSERT_EQ(source->size(), 4);
  EXPECT_EQ(Summary(ReadAll(*source)), (Lines{"b|IMAGE|a caption|7|", "a|W|upper case|-1|",
                                              "c|C|one,two|-1|", "d|D|fallback|-1|"}));
}

// What the kernel makes of it shows in no result.
TEST(TarSource, ReadsAheadOverShardsThatAreThereAndGone) {
  const TemporaryFolder folder;
  for (const char* name : {"0.tar", "1.tar", "2.tar"}) WriteShard(folder / name, PlainMembers(40));
  const auto source = OpenSource(folder / "{0..2}.tar");
  source->ReadAhead(SampleIndex{0}, 120);
  source->ReadAhead(SampleIndex{119}, 1);
  std::filesystem::remove(folder / "1.tar");
  const auto again = OpenSource(folder / "{0..2}.tar");
  EXPECT_NO_THROW(again->ReadAhead(SampleIndex{30}, 60));
}

TEST(TarSource, TakesGifAndBmpWhereTheyAreAskedFor) {
  const TemporaryFolder folder;
  WriteShard(folder / "0.tar", {{"a.gif", "G"},
                                {"a.txt", "one"},
                                {"b.bmp", "B"},
                                {"b.GIF", "G"},
                                {"b.txt", "two"},
                                {"c.gif", "G"},
                                {"c.webp", "W"},
                                {"c.txt", "three"}});
  const OpenedSource usual = OpenSourceWithInfo(folder / "0.tar");
  EXPECT_EQ(Summary(ReadAll(*usual.source)),
            (Lines{"a||one|-1|no_image", "b||two|-1|no_image", "c|W|three|-1|"}));
  EXPECT_TRUE(usual.parts[0].warnings.empty()) << "their members do lie side by side";
  SourceOptions options;
  options.formats.Add(PictureFormat::kGif);
  options.formats.Add(PictureFormat::kBmp);
  const auto more = OpenSource(folder / "0.tar", options);
  EXPECT_EQ(Summary(ReadAll(*more)), (Lines{"a|G|one|-1|", "b|G|two|-1|", "c|W|three|-1|"}));
  EXPECT_EQ(more->hash(), usual.source->hash());
}

TEST(TarSource, KeepsThePlaceOfRecordsThatLackSomething) {
  const TemporaryFolder folder;
  WriteShard(folder / "0.tar", {{"a.txt", "alone"},
                                {"b.jpg", "B"},
                                {"c.jpg", "C"},
                                {"c.txt", " \n\t"},
                                {"d.json", "{}"},
                                {"e.jpg", ""},
                                {"e.txt", "empty image"}});
  const OpenedSource opened = OpenSourceWithInfo(folder / "0.tar");
  EXPECT_EQ(Summary(ReadAll(*opened.source)),
            (Lines{"a||alone|-1|no_image", "b|B||-1|no_caption", "c|C||-1|no_caption",
                   "d|||-1|no_image", "e||empty image|-1|"}));
  ASSERT_EQ(opened.parts[0].warnings.size(), 1u);
  EXPECT_NE(opened.parts[0].warnings[0].find("3 records lack"), std::string::npos);
}

TEST(TarSource, StartsARecordWhereAKeyOrAFieldComesAgain) {
  const TemporaryFolder folder;
  WriteShard(folder / "0.tar", {{"a.jpg", "1"},
                                {"a.txt", "one"},
                                {"a.jpg", "2"},
                                {"a.txt", "two"},
                                {"b.jpg", "3"},
                                {"b.txt", "three"},
                                {"a.jpg", "4"},
                                {"a.txt", "four"}});
  EXPECT_EQ(Summary(ReadAll(*OpenSource(folder / "0.tar"))),
            (Lines{"a|1|one|-1|", "a|2|two|-1|", "b|3|three|-1|", "a|4|four|-1|"}));
}

TEST(TarSource, ReadsEveryKindOfTarAndLongNames) {
  const TemporaryFolder folder;
  const std::string folders(240, 'd'), name(90, 'n');
  for (const char* kind : {"gnutar", "pax", "paxr", "ustar", "v7tar"}) {
    const bool is_old = std::string(kind) == "v7tar" || std::string(kind) == "ustar";
    const std::string key = is_old ? "x/y" : folders + "/ü/" + name;
    WriteKind(folder / "0.tar", kind,
              {{"dir/", ""},
               {"a.jpg", "A"},
               {"a.txt", "one"},
               {key + ".jpg", "LONG"},
               {key + ".txt", "two"},
               {"dir2/", ""},
               {"z.jpg", "Z"},
               {"z.txt", "three"},
               {"last/", ""}});
    const OpenedSource opened = OpenSourceWithInfo(folder / "0.tar", Renewing());
    EXPECT_EQ(Summary(ReadAll(*opened.source)),
              (Lines{"a|A|one|-1|", key + "|LONG|two|-1|", "z|Z|three|-1|"}))
        << kind;
    EXPECT_TRUE(opened.parts[0].warnings.empty()) << kind;
    EXPECT_EQ(Summary(opened.source->Read(SampleIndex{1}, 1, {})), (Lines{key + "|LONG|two|-1|"}))
        << kind;
    std::filesystem::remove(folder / "0.tar");
  }
}

TEST(TarSource, ReadsAnyRangeOverShardBordersFromManyThreads) {
  const TemporaryFolder folder;
  WriteShard(folder / "0.tar", PlainMembers(5, "a"));
  WriteShard(folder / "1.tar", {});
  WriteShard(folder / "2.tar", PlainMembers(7, "b"));
  WriteShard(folder / "3.tar", PlainMembers(1, "c"));
  const auto source = OpenSource(folder / "{0..3}.tar");
  ASSERT_EQ(source->size(), 13);
  const Lines all = Summary(ReadAll(*source));
  EXPECT_EQ(all[0], "a1000|image of a1000|caption of a1000|-1|");
  EXPECT_EQ(all[12], "c1000|image of c1000|caption of c1000|-1|");
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int first = 0; first < 13; ++first) {
        for (int count = 0; first + count <= 13; ++count) {
          const RecordBlock block = source->Read(SampleIndex{first}, count, {});
          EXPECT_EQ(Summary(block), Lines(all.begin() + first, all.begin() + first + count));
          for (int i = 0; i < count; ++i) {
            EXPECT_EQ(ToInt(block.records[static_cast<std::size_t>(i)].index), first + i);
          }
        }
      }
    });
  }
  threads.clear();
  EXPECT_THROW(source->Read(SampleIndex{12}, 2, {}), std::out_of_range);
}

TEST(TarSource, KeepsWhatIsWholeOfAShardCutAnywhere) {
  const TemporaryFolder folder;
  const std::string path = folder / "0.tar";
  WriteShard(path, PlainMembers(4));
  const Lines whole = Summary(ReadAll(*OpenSource(path)));
  const std::string bytes = ReadFile(path);
  int cuts = 0;
  for (std::size_t size = 512; size < bytes.size(); size += 100) {
    WriteFile(path, std::string_view(bytes).substr(0, size));
    const auto source = OpenSource(path, Renewing());
    const RecordBlock block = ReadAll(*source);
    const Lines lines = Summary(block);
    ASSERT_GE(lines.size(), 1u) << size;
    ASSERT_LE(lines.size(), 4u) << size;
    for (std::size_t i = 0; i < lines.size(); ++i) {
      const bool last = i + 1 == lines.size();
      if (last && block.records[i].skip) {
        EXPECT_EQ(*block.records[i].skip, Skip::kTruncated) << size;
      } else {
        EXPECT_EQ(lines[i], whole[i]) << size;
      }
    }
    ++cuts;
  }
  EXPECT_GT(cuts, 50);
}

TEST(TarSource, SaysThatAShardIsCut) {
  const TemporaryFolder folder;
  WriteShard(folder / "0.tar", PlainMembers(4));
  const std::string bytes = ReadFile(folder / "0.tar");
  WriteFile(folder / "0.tar", std::string_view(bytes).substr(0, bytes.size() / 2));
  WriteFile(folder / "1.tar", "");
  const OpenedSource opened = OpenSourceWithInfo(folder / "{0..1}.tar");
  ASSERT_EQ(opened.parts[0].warnings.size(), 2u);
  EXPECT_NE(opened.parts[0].warnings[0].find("truncated (no end-of-archive mark)"),
            std::string::npos);
  EXPECT_NE(opened.parts[0].warnings[0].find("0.tar and 1 more"), std::string::npos);
}

TEST(TarSource, GoesOnBehindADamagedHeader) {
  const TemporaryFolder folder;
  WriteShard(folder / "0.tar", PlainMembers(4));
  const Lines whole = Summary(ReadAll(*OpenSource(folder / "0.tar")));
  std::string bytes = ReadFile(folder / "0.tar");
  bytes[bytes.find("1001.txt")] = '#';  // a checksum that no longer fits
  WriteFile(folder / "0.tar", bytes);
  const OpenedSource opened = OpenSourceWithInfo(folder / "0.tar");
  const Lines lines = Summary(ReadAll(*opened.source));
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[0], whole[0]);
  EXPECT_TRUE(lines[1].ends_with("no_caption")) << lines[1];
  EXPECT_EQ(lines[2], whole[2]);
  EXPECT_EQ(lines[3], whole[3]);
  EXPECT_NE(opened.parts[0].warnings.at(0).find("damaged: 0.tar (bytes "), std::string::npos);
}

TEST(TarSource, GivesASkipForShardsThatGoAway) {
  const TemporaryFolder folder;
  WriteShard(folder / "0.tar", PlainMembers(3, "a"));
  WriteShard(folder / "1.tar", PlainMembers(3, "b"));
  const auto opened_before = OpenSource(folder / "{0..1}.tar");
  std::filesystem::remove(folder / "1.tar");
  const RecordBlock block = ReadAll(*opened_before);
  ASSERT_EQ(block.records.size(), 6u);
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(block.records[static_cast<std::size_t>(i)].skip.has_value(), i >= 3) << i;
  }
  EXPECT_EQ(block.records[5].skip, Skip::kMissing);
}

// What its places would give might be any record under any index.
TEST(TarSource, RefusesAShardThatChangesWhileItIsRead) {
  const TemporaryFolder folder;
  WriteShard(folder / "0.tar", PlainMembers(3, "a"));
  const auto source = OpenSource(folder / "0.tar");
  ASSERT_EQ(Summary(source->Read(SampleIndex{2}, 1, {})).front().substr(0, 3), "a10");
  std::filesystem::resize_file(folder / "0.tar", 600);
  EXPECT_NE(ErrorOf([&] {
              source->Read(SampleIndex{2}, 1, {});
            }).find("0.tar: changed since it was indexed (3 records then, 1 now)"),
            std::string::npos);
}

TEST(TarSource, RefusesWhatIsNoTar) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "folder.tar");
  const std::pair<std::string, std::string> cases[] = {
      {"\x1f\x8b\x08" + std::string(600, 'x'), "compressed (gzip)"},
      {"\x28\xb5\x2f\xfd" + std::string(600, 'x'), "compressed (zstd)"},
      {"<html>404 not found</html>", "not a tar file"},
      {std::string(4096, 'x'), "not a tar file"},
  };
  for (const auto& [bytes, reason] : cases) {
    WriteFile(folder / "0.tar", bytes);
    const std::string error = ErrorOf([&] { OpenSource(folder / "0.tar"); });
    EXPECT_NE(error.find(reason), std::string::npos) << error;
    EXPECT_NE(error.find(folder / "0.tar"), std::string::npos) << error;
  }
  const auto error_of = [&](const std::string& list) { return ErrorOf([&] { OpenSource(list); }); };
  EXPECT_NE(error_of(folder / "folder.tar").find("name a table of their paths and captions"),
            std::string::npos);
  EXPECT_NE(error_of("https://x/0.tar").find("https:// is not supported"), std::string::npos);
  WriteFile(folder / "empty.tar", "");
  EXPECT_NE(error_of(folder / "empty.tar").find("no records"), std::string::npos);
}

TEST(TarSource, LimitsWhatIsTooLarge) {
  const TemporaryFolder folder;
  WriteShard(folder / "0.tar", {{"a.jpg", "A"},
                                {"a.txt", std::string(1 << 20, 'x') + "é"},
                                {"b.jpg", std::string(1 << 21, 'b')},
                                {"b.txt", "large"},
                                {"c.jpg", "C"},
                                {"c.txt", "\xff\xfe not UTF-8"}});
  SourceOptions options;
  options.max_record_bytes = 2'000'000;
  const RecordBlock block = ReadAll(*OpenSource(folder / "0.tar", options));
  ASSERT_EQ(block.records.size(), 3u);
  EXPECT_EQ(block.records[0].captions[0].text.size(), kMaxCaptionBytes);
  EXPECT_EQ(block.records[1].skip, Skip::kTooLarge);
  EXPECT_EQ(block.records[2].skip, Skip::kBadCaption);
}

TEST(TarSource, StopsWhenAsked) {
  const TemporaryFolder folder;
  WriteShard(folder / "0.tar", PlainMembers(2));
  const auto source = OpenSource(folder / "0.tar");
  std::stop_source stop;
  stop.request_stop();
  EXPECT_NE(ErrorOf([&] { source->Read(SampleIndex{0}, 1, stop.get_token()); }).find("stopped"),
            std::string::npos);
}

TEST(TarWriter, WritesEqualBytesForEqualMembersAndNothingUntilClosed) {
  const TemporaryFolder folder;
  WriteShard(folder / "a.tar", PlainMembers(9));
  WriteShard(folder / "b.tar", PlainMembers(9));
  EXPECT_EQ(ReadFile(folder / "a.tar"), ReadFile(folder / "b.tar"));
  {
    TarWriter abandoned(folder / "c.tar");
    abandoned.Add("x.txt", AsBytes("half"));
  }
  int files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder.path()))
    ++files;
  EXPECT_EQ(files, 2);
}

TEST(ConcatenatedSource, JoinsListsOneAfterTheOther) {
  const TemporaryFolder folder;
  WriteShard(folder / "0.tar", PlainMembers(2));
  const auto source = OpenSource("synthetic:3::" + (folder / "0.tar") + "::synthetic:1");
  ASSERT_EQ(source->size(), 6);
  const RecordBlock block = ReadAll(*source);
  EXPECT_EQ(block.records[3].captions[0].text, "caption of 1000");
  EXPECT_EQ(block.records[2].captions[0].text, block.records[2].captions.front().text);
  for (int i = 0; i < 6; ++i) EXPECT_EQ(ToInt(block.records[static_cast<std::size_t>(i)].index), i);
  EXPECT_EQ(Summary(source->Read(SampleIndex{5}, 1, {})),
            Summary(OpenSource("synthetic:1")->Read(SampleIndex{0}, 1, {})));
}

TEST(SyntheticSource, IsAFunctionOfTheIndex) {
  const auto large = OpenSource("synthetic:1000000000"), small = OpenSource("synthetic:8");
  EXPECT_EQ(Summary(large->Read(SampleIndex{3}, 5, {})),
            Summary(small->Read(SampleIndex{3}, 5, {})));
  EXPECT_NE(large->hash(), small->hash());
  const RecordBlock block = small->Read(SampleIndex{0}, 1, {});
  EXPECT_TRUE(AsString(block.records[0].image).starts_with("\x89PNG"));
  for (const char* bad :
       {"synthetic:", "synthetic:0", "synthetic:-1", "synthetic:x", "synthetic:99999999999999"}) {
    EXPECT_THROW(OpenSource(bad), std::runtime_error) << bad;
  }
}

}  // namespace
}  // namespace fastclip

#include "pipeline/sources/record_keys.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "pipeline/sources/open_source.h"
#include "tests/pipeline/shard_files.h"
#include "tests/support/paths.h"
#include "tests/support/without_root.h"

namespace fastclip {
namespace {

using Keys = std::vector<std::int64_t>;

void WriteKeyed(const std::string& path, const std::vector<std::string>& keys) {
  Members members;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const std::string name = std::to_string(1000 + i);
    members.emplace_back(name + ".jpg", "image " + name);
    members.emplace_back(name + ".txt", "caption");
    members.emplace_back(name + ".json", "{\"key\": " + keys[i] + "}");
  }
  WriteShard(path, members);
}

Keys All(const RecordKeys& keys) {
  Keys all(static_cast<std::size_t>(keys.size()));
  keys.Read(SampleIndex{0}, all);
  return all;
}

RecordKeys Open(const std::string& list, std::int64_t* read = nullptr) {
  return RecordKeys(list, "json.key", {}, [read](std::int64_t done, std::int64_t) {
    if (read != nullptr) *read = done;
  });
}

TEST(RecordKeys, AreWholeNumbersAndTheirTexts) {
  const TemporaryFolder folder;
  WriteKeyed(folder / "a.tar", {"7", "\"000000012\"", "-3", "null", "2.5", "0"});
  const RecordKeys keys = Open(folder / "a.tar");
  EXPECT_EQ(All(keys), (Keys{7, 12, -1, -1, -1, 0}));
  EXPECT_EQ(keys.largest(), 12);
  EXPECT_EQ(keys.without_key(), 3);
}

TEST(RecordKeys, GoThroughShardsAndSources) {
  const TemporaryFolder folder;
  WriteKeyed(folder / "a0.tar", {"5", "4"});
  WriteKeyed(folder / "a1.tar", {"3"});
  WriteKeyed(folder / "b.tar", {"20000", "20001"});
  const RecordKeys keys = Open((folder / "a*.tar") + "::" + (folder / "b.tar"));
  EXPECT_EQ(All(keys), (Keys{5, 4, 3, 20000, 20001}));
  Keys middle(3);
  keys.Read(SampleIndex{1}, middle);
  EXPECT_EQ(middle, (Keys{4, 3, 20000}));
  EXPECT_THROW(keys.Read(SampleIndex{3}, middle), std::out_of_range);
}

TEST(RecordKeys, AreReadFromTheShardsOnce) {
  const TemporaryFolder folder;
  WriteKeyed(folder / "a.tar", {"1", "2", "3"});
  std::int64_t read = 0;
  Open(folder / "*.tar", &read);
  EXPECT_EQ(read, 3);
  read = 0;
  EXPECT_EQ(All(Open(folder / "*.tar", &read)), (Keys{1, 2, 3}));
  EXPECT_EQ(read, 0);
  // Another field, another list: anew. The file of keys is nobody's shard.
  WriteKeyed(folder / "b.tar", {"9"});
  EXPECT_EQ(All(Open(folder / "*", &read)), (Keys{1, 2, 3, 9}));
  EXPECT_EQ(read, 4);
}

TEST(RecordKeys, AreMadeAgainWhereTheirFileIsDamaged) {
  const TemporaryFolder folder;
  WriteKeyed(folder / "a.tar", {"1", "2", "3"});
  Open(folder / "a.tar");
  std::string file;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    if (entry.path().extension() == ".keys") file = entry.path();
  }
  const std::string good = ReadFile(file);
  ASSERT_EQ(good.size(), 3 * 8 + 32u);
  for (std::size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] ^= 1;
    WriteFile(file, bad);
    EXPECT_EQ(All(Open(folder / "a.tar")), (Keys{1, 2, 3})) << at;
  }
  WriteFile(file, good.substr(0, 32));
  EXPECT_EQ(All(Open(folder / "a.tar")), (Keys{1, 2, 3}));
  EXPECT_EQ(ReadFile(file), good);
}

TEST(RecordKeys, AreReadAgainWhereAShardIsAnother) {
  const TemporaryFolder folder;
  WriteKeyed(folder / "a.tar", {"1", "2"});
  EXPECT_EQ(All(Open(folder / "a.tar")), (Keys{1, 2}));
  std::filesystem::remove(folder / "a.tar");
  WriteKeyed(folder / "a.tar", {"2", "1"});
  std::filesystem::last_write_time(
      folder / "a.tar",
      std::filesystem::last_write_time(folder / "a.tar") + std::chrono::seconds(5));
  EXPECT_EQ(All(Open(folder / "a.tar")), (Keys{2, 1}));
}

TEST(RecordKeys, NeedEachShardOnce) {
  const TemporaryFolder folder;
  for (const char* name : {"a.tar", "b.tar"})
    WriteKeyed(folder / name, {name[0] == 'a' ? "1" : "2"});
  const std::string list = folder / "{a,b}.tar";
  EXPECT_EQ(OpenSource(list)->size(), 2);
  std::filesystem::rename(folder / "b.tar", folder / "away");
  EXPECT_EQ(ErrorOf([&] { Open(list); }),
            (folder / "b.tar") +
                ": missing, and json.key of its records has not been read yet; restore it");
  std::filesystem::rename(folder / "away", folder / "b.tar");
  EXPECT_EQ(All(Open(list)), (Keys{1, 2}));
  std::filesystem::rename(folder / "b.tar", folder / "away");
  EXPECT_EQ(All(Open(list)), (Keys{1, 2}));
}

TEST(RecordKeys, RefuseTwoRecordsWithOneKeyByName) {
  const TemporaryFolder folder;
  WriteKeyed(folder / "a.tar", {"1", "2"});
  WriteKeyed(folder / "b.tar", {"0", "2", "1"});
  const std::string error = ErrorOf([&] { Open((folder / "a.tar") + "::" + (folder / "b.tar")); });
  EXPECT_NE(error.find("json.key is 2 in two records, " + (folder / "a.tar") + " at "),
            std::string::npos)
      << error;
  EXPECT_NE(error.find(" and " + (folder / "b.tar") + " at "), std::string::npos) << error;
  EXPECT_NE(error.find("and 1 more with a repeated key"), std::string::npos) << error;
}

TEST(RecordKeys, RefuseWhatIsNoIndex) {
  const TemporaryFolder folder;
  WriteKeyed(folder / "a.tar", {"1", "8589934592"});
  EXPECT_NE(ErrorOf([&] { Open(folder / "a.tar"); }).find("json.key is 8589934592, but an index"),
            std::string::npos);
  EXPECT_NE(ErrorOf([&] {
              RecordKeys(folder / "a.tar", "json.uid", {});
            }).find("no record has an integer >= 0 at json.uid"),
            std::string::npos);
  EXPECT_NE(ErrorOf([&] {
              RecordKeys("synthetic:9", "json.key", {});
            }).find("json.key needs .json members of tar shards"),
            std::string::npos);
  EXPECT_EQ(ErrorOf([&] { RecordKeys(folder / "a.tar", "key", {}); }),
            "'key' is not of the form json.NAME, a field of the records' metadata; use for example "
            "json.key");
}

TEST(RecordKeys, AreKeptInMemoryWhereNoFileCanBeWritten) {
  const TemporaryFolder folder;
  WriteKeyed(folder / "a.tar", {"4", "2"});
  std::filesystem::permissions(folder.path(), std::filesystem::perms(0555));
  {
    const WithoutRoot unprivileged;
    const RecordKeys keys = Open(folder / "a.tar");
    EXPECT_FALSE(keys.is_kept());
    EXPECT_EQ(All(keys), (Keys{4, 2}));
    const TemporaryFolder other;
    SourceOptions options;
    options.manifest_fallback_dir = other.path();
    for (int again = 0; again < 2; ++again) {
      EXPECT_TRUE(RecordKeys(folder / "a.tar", "json.key", options).is_kept());
    }
  }
  std::filesystem::permissions(folder.path(), std::filesystem::perms(0755));
}

}  // namespace
}  // namespace fastclip

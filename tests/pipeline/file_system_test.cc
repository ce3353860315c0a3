#include "pipeline/files/file_system.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <map>

#include "pipeline/sources/open_source.h"
#include "tests/pipeline/record_lines.h"
#include "tests/pipeline/shard_files.h"
#include "tests/support/paths.h"

namespace fastclip {
namespace {

TEST(FileSystem, AUrlInATableIsAMissingPicture) {
  const TemporaryFolder folder;
  WriteFile(folder / "one.jpg", "picture one");
  WriteFile(folder / "urls.tsv",
            "filepath\tcaption\nhttp://host/a.jpg\ta cat\none.jpg\ta dog\nftp://b.jpg\tgone\n");
  const Lines lines = Summary(ReadAll(*OpenSource(folder / "urls.tsv")));
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_TRUE(lines[0].ends_with("|missing")) << lines[0];
  EXPECT_EQ(lines[1], "one.jpg|picture one|a dog|-1|");
  EXPECT_TRUE(lines[2].ends_with("|missing")) << lines[2];
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());  // a table without a folder
  const Lines bare = Summary(ReadAll(*OpenSource("urls.tsv")));
  std::filesystem::current_path(before);
  EXPECT_EQ(bare, lines);
}

TEST(FileSystem, ListsAFolderAndWhatItsLinksLeadTo) {
  using Kind = FolderEntry::Kind;
  const TemporaryFolder folder;
  const std::filesystem::path top = folder.path();
  WriteFile(folder / "file", "x");
  std::filesystem::create_directory(top / "folder");
  std::filesystem::create_directory_symlink(top / "folder", top / "to_folder");
  std::filesystem::create_symlink(top / "file", top / "to_file");
  std::filesystem::create_symlink(top / "gone", top / "to_nothing");
  ASSERT_EQ(mkfifo((top / "fifo").c_str(), 0600), 0);
  const FileSystem& files = FileSystemOf(folder.path().string());
  std::map<std::string, Kind> kinds;
  files.List(folder.path(), [&](const FolderEntry& entry) {
    EXPECT_FALSE(entry.error) << entry.name;
    kinds[entry.name] = entry.kind;
  });
  EXPECT_EQ(kinds, (std::map<std::string, Kind>{{"file", Kind::kFile},
                                                {"folder", Kind::kFolder},
                                                {"to_folder", Kind::kFolder},
                                                {"to_file", Kind::kFile},
                                                {"to_nothing", Kind::kBrokenLink},
                                                {"fifo", Kind::kOther}}));
  EXPECT_TRUE(files.FindFolder(folder / "folder"));
  EXPECT_EQ(files.FindFolder(folder / "folder"), files.FindFolder(folder / "to_folder"));
  for (const char* name : {"file", "to_nothing", "fifo", "absent"}) {
    EXPECT_FALSE(files.FindFolder(folder / name)) << name;
  }
  EXPECT_NE(ErrorOf([&] {
              files.List(folder / "file", [](const FolderEntry&) {});
            }).find("the folder cannot be read"),
            std::string::npos);
}

TEST(FileSystem, OfAnUnknownSchemeIsRefused) {
  EXPECT_TRUE(IsUri("ftp://host/a.tar"));
  EXPECT_FALSE(IsUri("/data/a.tar"));
  EXPECT_FALSE(IsUri("://b"));
  EXPECT_FALSE(IsUri("/data/http://b"));
  const std::string error = ErrorOf([] { OpenSource("ftp://host/a.tar"); });
  EXPECT_NE(error.find("ftp:// is not supported"), std::string::npos) << error;
}

}  // namespace
}  // namespace fastclip

#include "pipeline/files/output_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <thread>

#include "tests/pipeline/shard_files.h"
#include "tests/support/paths.h"

namespace fastclip {
namespace {

namespace fs = std::filesystem;

const OutputKind kPoem = {"a poem", [](std::string_view head) { return head.starts_with("poem"); }};

void Write(const std::string& path, const std::vector<std::string>& inputs = {}) {
  OutputFile file(path, kPoem, inputs);
  file.Append("poem: roses");
  file.Commit();
}

std::vector<std::string> NamesIn(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder))
    names.push_back(entry.path().filename().string());
  std::ranges::sort(names);
  return names;
}

class OutputFileTest : public testing::Test {
 protected:
  void ExpectRefused(const std::string& name, const std::string& reason,
                     const std::vector<std::string>& inputs = {}) const {
    const std::string error = ErrorOf([&] { Write(folder_ / name, inputs); });
    EXPECT_EQ(error.find((folder_ / name) + ": " + reason), 0u) << error;
  }
  TemporaryFolder folder_;
};

TEST_F(OutputFileTest, ReplacesNothingAnEmptyFileOrOneOfItsKind) {
  Write(folder_ / "new");
  WriteFile(folder_ / "empty", "");
  Write(folder_ / "empty");
  WriteFile(folder_ / "old", "poem: violets");
  chmod((folder_ / "old").c_str(), 0640);
  Write(folder_ / "old");
  for (const char* name : {"new", "empty", "old"}) {
    EXPECT_EQ(ReadFile(folder_ / name), "poem: roses") << name;
  }
  struct stat status {};
  stat((folder_ / "old").c_str(), &status);
  EXPECT_EQ(status.st_mode & 0777, 0640u);
  EXPECT_EQ(NamesIn(folder_.path()), (std::vector<std::string>{"empty", "new", "old"}));
}

TEST_F(OutputFileTest, RefusesFilesOfOthersFoldersAndWhatTheCommandReads) {
  WriteFile(folder_ / "thesis", "once upon a time");
  ExpectRefused("thesis", "exists and is not a poem");
  EXPECT_EQ(ReadFile(folder_ / "thesis"), "once upon a time");
  fs::create_directory(folder_ / "folder");
  ExpectRefused("folder", "is a folder");
  ExpectRefused("none/poem", "cannot be written: No such file");
  WriteFile(folder_ / "input", "poem: to be read");
  fs::create_symlink("input", folder_ / "link");
  ExpectRefused("input", "is an input of this command", {folder_ / "input"});
  ExpectRefused("link", "is an input of this command", {folder_ / "input"});
  fs::create_symlink("b", folder_ / "a");
  fs::create_symlink("a", folder_ / "b");
  ExpectRefused("a", "circular link");
  EXPECT_EQ(NamesIn(folder_.path()).size(), 6u);
}

TEST_F(OutputFileTest, WritesThroughLinks) {
  fs::create_directory(folder_ / "d");
  WriteFile(folder_ / "d/old", "poem: violets");
  fs::create_symlink("d/old", folder_ / "link");
  fs::create_symlink(folder_ / "link", folder_ / "link2");
  fs::create_symlink("d/new", folder_ / "dangling");
  Write(folder_ / "link2");
  Write(folder_ / "dangling");
  EXPECT_EQ(ReadFile(folder_ / "d/old"), "poem: roses");
  EXPECT_EQ(ReadFile(folder_ / "d/new"), "poem: roses");
  for (const char* name : {"link", "link2", "dangling"}) {
    EXPECT_TRUE(fs::is_symlink(folder_ / name)) << name;
  }
  EXPECT_EQ(NamesIn(folder_ / "d"), (std::vector<std::string>{"new", "old"}));
}

TEST_F(OutputFileTest, WritesToDevicesAndPipesAsTheyAre) {
  Write("/dev/null");
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  ASSERT_EQ(mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  std::string got;
  std::jthread reader([&] { got = ReadFile(folder_ / "pipe"); });
  Write(folder_ / "pipe");
  reader.join();
  EXPECT_EQ(got, "poem: roses");
  EXPECT_TRUE(fs::is_fifo(folder_ / "pipe"));
  EXPECT_NE(ErrorOf([] { Write("/dev/full"); }).find("No space left"), std::string::npos);
  EXPECT_NE(ErrorOf([&] { CheckOutputPath(folder_ / "pipe", kPoem); }).find("use a file"),
            std::string::npos);
}

TEST_F(OutputFileTest, WritesToAnOpenDescriptorAndNeverReplacesItsFile) {
  WriteFile(folder_ / "log", "before, ");
  const UniqueFd fd(open((folder_ / "log").c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  fs::create_symlink("/dev/fd/" + std::to_string(fd.get()), folder_ / "link");
  Write("/dev/fd/" + std::to_string(fd.get()));
  Write(folder_ / "link");
  EXPECT_EQ(ReadFile(folder_ / "log"), "before, poem: rosespoem: roses");
}

TEST_F(OutputFileTest, LeavesNothingWithoutCommit) {
  {
    OutputFile file(folder_ / "a", kPoem);
    file.Append("poem");
    EXPECT_EQ(NamesIn(folder_.path()).size(), 1u);
  }
  EXPECT_TRUE(fs::is_empty(folder_.path()));
}

TEST(AtomicFile, IsRemovedByTheNextWhereItsWriterWasKilled) {
  const TemporaryFolder folder;
  std::string name;
  {
    const AtomicFile alive(folder / "a.tar");
    name = NamesIn(folder.path()).at(0);
    EXPECT_EQ(RemoveAbandoned(folder.path(), [](std::string_view) { return true; }), 0)
        << "its writer lives";
  }
  ASSERT_TRUE(name.starts_with("a.tar.")) << name;
  WriteFile(folder / name, "left by one that was killed");
  WriteFile(folder / "a.tar.otherhost.12.0.tmp", "of another machine");
  WriteFile(folder / "notes.tmp", "somebody's");
  WriteFile(folder / "notes.1.2.tmp", "somebody's");
  EXPECT_EQ(RemoveAbandoned(folder.path(), [](std::string_view of) { return of == "b.tar"; }), 0);
  EXPECT_EQ(RemoveAbandoned(folder.path(), [](std::string_view of) { return of == "a.tar"; }), 1);
  EXPECT_EQ(NamesIn(folder.path()),
            (std::vector<std::string>{"a.tar.otherhost.12.0.tmp", "notes.1.2.tmp", "notes.tmp"}));
  EXPECT_EQ(RemoveAbandoned(folder / "none", [](std::string_view) { return true; }), 0);
}

TEST(AtomicFile, TakesNamesAsLongAsAFileMayHave) {
  const TemporaryFolder folder;
  const std::string name(255, 'n');
  AtomicFile(folder / name).Commit();
  EXPECT_EQ(NamesIn(folder.path()), std::vector<std::string>{name});
}

TEST(FolderLock, KeepsOthersOutAsLongAsItLives) {
  const TemporaryFolder folder;
  const UniqueFd other(open(folder.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  {
    const FolderLock lock(folder.path());
    EXPECT_EQ(flock(other.get(), LOCK_EX | LOCK_NB), -1);
    EXPECT_EQ(errno, EWOULDBLOCK);
  }
  EXPECT_EQ(flock(other.get(), LOCK_EX | LOCK_NB), 0);
  EXPECT_EQ(flock(other.get(), LOCK_UN), 0);
  const FolderLock nowhere(folder / "none");
}

}  // namespace
}  // namespace fastclip

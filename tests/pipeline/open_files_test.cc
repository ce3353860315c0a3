#include <fcntl.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/resource.h>

#include <exception>
#include <memory>

#include "pipeline/files/file.h"
#include "pipeline/files/file_cache.h"
#include "pipeline/sources/open_source.h"
#include "tests/pipeline/record_lines.h"
#include "tests/pipeline/shard_files.h"
#include "tests/support/paths.h"

namespace fastclip {
namespace {

/// This process may have so many files open more than it has now.
class FilesLeft {
 public:
  explicit FilesLeft(int count) {
    getrlimit(RLIMIT_NOFILE, &before_);
    rlimit now = before_;
    const UniqueFd next(open("/dev/null", O_RDONLY | O_CLOEXEC));  // the smallest that is free
    now.rlim_cur = static_cast<rlim_t>(next.get() + count);
    setrlimit(RLIMIT_NOFILE, &now);
  }
  ~FilesLeft() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

TEST(OpenFiles, OfACacheAreClosedWhereOthersNeedThem) {
  const TemporaryFolder folder;
  for (int i = 0; i < 20; ++i) WriteFile(folder / std::to_string(i), std::to_string(i));
  FileCache cache(20);
  const FilesLeft left(24);
  for (int i = 0; i < 20; ++i) ASSERT_NE(cache.Open(folder / std::to_string(i)), nullptr);
  std::vector<UniqueFd> others;
  for (int i = 0; i < 20; ++i) {
    others.push_back(OpenToRead(folder / std::to_string(i)));
    ASSERT_TRUE(others.back()) << i;
  }
}

TEST(OpenFiles, MayBeFewForManyShards) {
  const TemporaryFolder folder;
  constexpr int kShards = 40;
  for (int i = 0; i < kShards; ++i) {
    WriteShard(folder / fmt::format("{:02}.tar", i), PlainMembers(2, std::to_string(i)));
  }
  const auto source = OpenSource((folder / "{00..19}.tar") + "::" + (folder / "{20..39}.tar"));
  const Lines whole = Summary(ReadAll(*source));
  const FilesLeft left(12);
  const auto fresh = OpenSource((folder / "{00..19}.tar") + "::" + (folder / "{20..39}.tar"));
  for (int pass = 0; pass < 2; ++pass) {
    EXPECT_EQ(Summary(ReadAll(*source)), whole);
    EXPECT_EQ(Summary(ReadAll(*fresh)), whole);
  }
}

TEST(OpenFiles, OfAllCachesTogetherAreHalfOfTheLimitAtMost) {
  const FilesLeft left(400);
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  std::vector<std::unique_ptr<SpareFiles>> spares;
  std::size_t all = 0;
  for (int i = 0; i < 20; ++i) {
    const std::size_t allowed = SpareFiles::Allowance(128);
    all += allowed;
    spares.push_back(std::make_unique<SpareFiles>(allowed, [] { return false; }));
  }
  EXPECT_LE(all, limit.rlim_cur / 2 + 20);
  spares.clear();
  EXPECT_GT(SpareFiles::Allowance(128), 20u);
}

TEST(OpenFiles, AreWaitedForWhereAllAreInUse) {
  const TemporaryFolder folder;
  WriteFile(folder / "a", "a");
  // Looked at when files can be opened again: UBSan checks an object's type by means of a pipe.
  std::exception_ptr failure;
  bool opened = false;
  {
    const FilesLeft left(3);
    std::vector<UniqueFd> others;
    for (int i = 0; i < 3; ++i) others.push_back(OpenToRead(folder / "a"));
    try {
      OpenToRead(folder / "a");
    } catch (...) {
      failure = std::current_exception();
    }
    pthread_t closer;  // before the last attempt, a second later
    const auto close_one = [](void* files) -> void* {
      static_cast<std::vector<UniqueFd>*>(files)->pop_back();
      return nullptr;
    };
    pthread_create(&closer, nullptr, close_one, &others);
    opened = static_cast<bool>(OpenToRead(folder / "a"));
    pthread_join(closer, nullptr);
  }
  EXPECT_TRUE(opened);
  ASSERT_TRUE(failure);
  const std::string error = ErrorOf([&] { std::rethrow_exception(failure); });
  EXPECT_NE(error.find("Too many open files"), std::string::npos) << error;
}

}  // namespace
}  // namespace fastclip

#include "pipeline/files/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <cstddef>

#include "pipeline/files/file_cache.h"
#include "pipeline/files/local_file.h"
#include "tests/pipeline/shard_files.h"
#include "tests/support/paths.h"

namespace fastclip {
namespace {

TEST(FileCache, KeepsTheLatestOpenAndTheUsedAlive) {
  const TemporaryFolder folder;
  for (const char* name : {"a", "b", "c"}) WriteFile(folder / name, name);
  FileCache cache(2);
  const auto a = cache.Open(folder / "a");
  const auto b = cache.Open(folder / "b");
  EXPECT_EQ(cache.Open(folder / "a"), a);
  cache.Open(folder / "c");
  EXPECT_EQ(cache.Open(folder / "a"), a);
  EXPECT_NE(cache.Open(folder / "b"), b);
  std::byte byte{};
  EXPECT_EQ(b->Read(0, {&byte, 1}), 1u);
  EXPECT_EQ(cache.Open(folder / "none"), nullptr);
}

TEST(SettledStamp, WaitsUntilTheClockOfTheFileHasMovedOn) {
  using std::chrono::floor, std::chrono::milliseconds, std::chrono::nanoseconds;
  using std::chrono::seconds, std::chrono::system_clock;
  const TemporaryFolder folder;
  WriteFile(folder / "a", "a");
  const LocalFile file(OpenToRead(folder / "a"), "a");
  const auto waited = [&](system_clock::time_point of_file) {
    const nanoseconds time = of_file.time_since_epoch();
    const timespec times[] = {
        {.tv_sec = 0, .tv_nsec = UTIME_OMIT},
        {.tv_sec = floor<seconds>(time).count(), .tv_nsec = (time - floor<seconds>(time)).count()}};
    EXPECT_EQ(futimens(file.fd(), times), 0);
    EXPECT_EQ(file.SettledStamp(), file.Stamp());
    return system_clock::now() - of_file;
  };
  EXPECT_GE(waited(floor<milliseconds>(system_clock::now()) + nanoseconds(1)), milliseconds(20));
  EXPECT_GE(waited(floor<seconds>(system_clock::now())), seconds(2));
  EXPECT_LT(waited(floor<seconds>(system_clock::now()) + std::chrono::hours(1)),
            -std::chrono::minutes(30));
}

TEST(ReadAt, ThrowsAfterRetriesWithPathAndOffset) {
  // Reading this file where nothing is mapped fails with EIO.
  const UniqueFd fd(open("/proc/self/mem", O_RDONLY));
  std::byte byte;
  const std::string error = ErrorOf([&] { ReadAt(fd.get(), 0, {&byte, 1}, "shard.tar"); });
  EXPECT_NE(error.find("shard.tar: reading 1 byte at offset 0 failed"), std::string::npos)
      << error;
}
}  // namespace
}  // namespace fastclip

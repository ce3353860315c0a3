#include "trainer/log/metrics.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cmath>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/support/paths.h"
#include "trainer/base/file_io.h"
#include "trainer/log/run_log.h"

namespace fastclip {
namespace {

namespace fs = std::filesystem;

std::string Text(const std::string& path) { return ReadWholeFile(path, 1 << 20); }

TEST(MetricsLog, WritesOneLineAnEventAtOnce) {
  const TemporaryFolder folder;
  MetricsLog log(folder / "metrics.jsonl", 0);
  log.Write({{"event", "step"}, {"step", 1}, {"loss", 0.5}});
  EXPECT_EQ(Text(folder / "metrics.jsonl"), R"({"event":"step","loss":0.5,"step":1})"
                                            "\n");
  log.Write({{"step", 2}});
  EXPECT_EQ(log.Sync(), static_cast<std::int64_t>(fs::file_size(folder / "metrics.jsonl")));
}

TEST(MetricsLog, WritesNullForWhatJsonCannotSay) {
  const TemporaryFolder folder;
  MetricsLog log(folder / "metrics.jsonl", 0);
  log.Write({{"a", std::nan("")},
             {"b", -INFINITY},
             {"c",
              "\xff"
              "x"}});
  const auto line = nlohmann::json::parse(Text(folder / "metrics.jsonl"));
  EXPECT_TRUE(line["a"].is_null());
  EXPECT_TRUE(line["b"].is_null());
  EXPECT_EQ(line["c"],
            "\xef\xbf\xbd"
            "x");
}

TEST(MetricsLog, IsCutBackToTheCheckpoint) {
  const TemporaryFolder folder;
  const std::string path = folder / "metrics.jsonl";
  std::int64_t at_checkpoint = 0;
  std::string uninterrupted;
  {
    MetricsLog log(path, 0);
    for (int step = 1; step <= 3; ++step) log.Write({{"step", step}});
    at_checkpoint = log.Sync();
    for (int step = 4; step <= 6; ++step) log.Write({{"step", step}});
    uninterrupted = Text(path);
  }
  {
    MetricsLog log(path, at_checkpoint);
    EXPECT_EQ(log.Sync(), at_checkpoint);
    for (int step = 4; step <= 6; ++step) log.Write({{"step", step}});
  }
  EXPECT_EQ(Text(path), uninterrupted);
}

TEST(MetricsLog, OfANewRunIsEmpty) {
  const TemporaryFolder folder;
  ReplaceFile(folder / "metrics.jsonl", "{\"step\":1}\n");
  EXPECT_EQ(MetricsLog(folder / "metrics.jsonl", 0).Sync(), 0);
}

TEST(MetricsLog, GoesOnWhereTheFileIsShorterOrGone) {
  const TemporaryFolder folder;
  const std::string path = folder / "metrics.jsonl";
  EXPECT_EQ(MetricsLog(path, 1000).Sync(), 0);
  ReplaceFile(path, "{\"step\":1}\n{\"step\":2}\n{\"st");
  MetricsLog log(path, 1000);
  log.Write({{"step", 9}});
  EXPECT_EQ(Text(path), "{\"step\":1}\n{\"step\":2}\n{\"step\":9}\n");
}

TEST(MetricsLog, IsCutBackToAWholeLineWhereverThePositionPoints) {
  const TemporaryFolder folder;
  const std::string path = folder / "metrics.jsonl";
  const std::string line(5000,
                         'x');  // longer than the block in which the end of a line is looked for
  ReplaceFile(path, "a\n" + line + "\nb\n");
  const std::vector<std::pair<std::int64_t, std::int64_t>> cases = {
      {5006, 5005}, {5005, 5005}, {5004, 5003}, {5003, 5003},
      {5002, 2},    {4000, 2},    {1, 0},       {-5, 0}};
  for (const auto& [position, kept] : cases) {
    EXPECT_EQ(MetricsLog(path, position).Sync(), kept) << position;
  }
}

TEST(MetricsLog, NamesTheFileThatCannotBeMade) {
  try {
    MetricsLog log("/proc/no/metrics.jsonl", 0);
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(),
                 "/proc/no/metrics.jsonl: cannot be opened: No such file or directory");
  }
}

TEST(ReplaceFile, LeavesTheOldBytesOrTheNew) {
  const TemporaryFolder folder;
  ReplaceFile(folder / "config.toml", "old");
  ReplaceFile(folder / "config.toml", "newer");
  EXPECT_EQ(Text(folder / "config.toml"), "newer");
  fs::create_directory(folder / "taken");
  EXPECT_THROW(ReplaceFile(folder / "taken", "bytes"), std::runtime_error);
  EXPECT_FALSE(fs::exists(folder / "taken.tmp"));
  EXPECT_FALSE(fs::exists(folder / "config.toml.tmp"));
}

TEST(RunLog, KnowsTheEventsAtItsEnd) {
  const TemporaryFolder folder;
  {
    RunLog log(folder.path(), 0, 0);
    for (int step = 1; step <= 2000; ++step)
      log.Write("train", step, {{"loss", 0.1}}, {{"epoch", 0}}, {.group = "train", .at = step});
    log.Write("retrieval", 2000, {{"R@1", 0.5}}, {{"images", 3}}, {.group = "val", .at = 1});
    EXPECT_TRUE(log.Has("retrieval", 2000));
  }
  const RunLog log(folder.path(), 1'000'000, 2000);
  EXPECT_TRUE(log.Has("retrieval", 2000));
  EXPECT_TRUE(log.Has("train", 2000));
  EXPECT_FALSE(log.Has("retrieval", 1999));
}

// The limit on a file's size stands for a full disk: both end a write before all is written.
TEST(RunLog, KeepsTheLinesThatItOwesWhereTheDiskIsFull) {
  const TemporaryFolder folder;
  std::string owed, message;
  std::int64_t length = 0;
  {
    RunLog log(folder.path(), 0, 0);
    rlimit before{};
    ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    const rlimit low{.rlim_cur = 100, .rlim_max = before.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &low), 0);
    for (int step = 0; step < 10; ++step) {
      try {
        log.Write("train", step, {{"loss", 0.1}}, {{"epoch", 0}}, {.group = "train", .at = step});
      } catch (const std::runtime_error& error) {
        message = error.what();
      }
    }
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
    std::signal(SIGXFSZ, handler);
    owed = log.metrics().owed();
    length = log.metrics().length();
  }
  EXPECT_NE(message.find("File too large"), std::string::npos) << message;
  EXPECT_LE(length, 100);
  const RunLog log(folder.path(), length, 9, owed);
  std::ifstream file(folder / "metrics.jsonl");
  int step = 0;
  for (std::string line; std::getline(file, line); ++step) {
    EXPECT_EQ(nlohmann::json::parse(line).at("step"), step);
  }
  EXPECT_EQ(step, 10);
}

}  // namespace
}  // namespace fastclip

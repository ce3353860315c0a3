#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <set>
#include <string>
#include <vector>

#include "pipeline/files/local_file.h"
#include "pipeline/order/order_plan.h"
#include "pipeline/shards/manifest.h"
#include "pipeline/sources/open_source.h"
#include "tests/pipeline/shard_files.h"
#include "tests/support/paths.h"
#include "tools/cli/measure.h"

namespace fastclip {
namespace {

constexpr int kShards = 100'000;
constexpr std::int64_t kRecordsOfShard = 10'000;

/// Empty shards, and a manifest that tells of 10,000 records in each: opening does not look inside.
void MakeShards(const TemporaryFolder& folder, const std::string& manifest) {
  std::vector<ManifestEntry> entries(kShards);
  for (int i = 0; i < kShards; ++i) {
    entries[i].name = fmt::format("{:05}.tar", i);
    entries[i].count = kRecordsOfShard;
    const std::string path = folder / entries[i].name;
    const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666));
    entries[i].stamp = DescriptorFile(fd.get(), path).Stamp();
  }
  const auto bytes = Manifest(std::move(entries)).Pack(FileKind::kTar);
  WriteFile(manifest, AsString(bytes));
}

TEST(Scale, ABillionRecordsAreOpenedAndPlannedInMemoryOfTheShardsAlone) {
  const TemporaryFolder folder;
  SourceOptions options;
  options.manifest = folder / "list.manifest";
  // In a process of its own, so that this one's memory is that of a run.
  if (const pid_t child = fork(); child == 0) {
    MakeShards(folder, options.manifest);
    _exit(0);
  } else {
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_EQ(status, 0);
  }

  const double before = MemoryMb("VmRSS");
  const auto start = std::chrono::steady_clock::now();
  const OpenedSource opened = OpenSourceWithInfo(folder / "{00000..99999}.tar", options);
  EXPECT_EQ(opened.parts[0].walked, 0);
  ASSERT_EQ(opened.source->size(), kShards * kRecordsOfShard);
  const OrderPlan plan({.size = opened.source->size(), .batch_size = 32768, .seed = 1});
  // What a resume does: the order is a function, so that a step is looked up, not walked to.
  const std::int64_t step = plan.steps(3) + plan.steps_per_epoch() / 2;
  std::set<std::int64_t> batch;
  for (std::int64_t row = 0; row < 32768; ++row) {
    if (const auto planned = plan.Row(step, row)) batch.insert(ToInt(planned->index));
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  const double megabytes = MemoryMb("VmHWM") - before;
  fmt::print(
      "{} records in {} shards: a batch in the middle of epoch 3 after {:.2f} s; {:.0f} MB above "
      "start\n",
      opened.source->size(), kShards, seconds.count(), megabytes);
  EXPECT_GT(batch.size(), 32000u);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LT(megabytes, 64);
#endif
}

}  // namespace
}  // namespace fastclip

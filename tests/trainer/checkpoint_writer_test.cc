#include "trainer/state/checkpoint_writer.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "comm/exchange.h"
#include "tests/support/paths.h"
#include "tests/support/stand_in_device.h"
#include "tests/support/thread_communicator.h"
#include "tests/trainer/step_rank.h"
#include "trainer/base/file_io.h"
#include "trainer/state/host_copy.h"

namespace fastclip {
namespace {

using How = CheckpointWriter::How;
using Files = std::map<std::string, std::string>;

CheckpointMeta MetaOf(const Rank& rank, std::int64_t step) {
  CheckpointMeta meta;
  meta.step = step;
  meta.order = rank.plan.options();
  meta.objective = "fastclip_v3";
  meta.model_config = R"({"embed_dim":8})";
  return meta;
}

CheckpointContent ContentOf(const Rank& rank) {
  std::vector<std::int64_t> sizes;
  for (std::int64_t lane = rank.lanes.first; lane < rank.lanes.last; ++lane) {
    sizes.push_back(rank.plan.lane_size(lane));
  }
  return {.model = rank.model.parameters(),
          .optimizer = rank.optimizer->state(),
          .state = {{rank.table.columns(), rank.lanes, sizes, rank.table.values()}}};
}

std::string MessageOf(const std::function<void()>& action) {
  try {
    action();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

class BackgroundSave : public testing::Test {
 protected:
  void SetUp() override { stand_in::Register(); }
  /// The bytes of all files in RUN/checkpoints/step_N.
  Files FilesOf(const std::string& run, int step) const {
    Files files;
    const std::string path = folder_ / (run + "/checkpoints/step_" + std::to_string(step));
    for (const auto& entry : std::filesystem::directory_iterator(path)) {
      files[entry.path().filename()] = ReadWholeFile(entry.path(), 1 << 24);
    }
    return files;
  }
  std::vector<std::string> Names(const std::string& run) const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_ / (run + "/checkpoints")))
      names.push_back(entry.path().filename());
    std::ranges::sort(names);
    return names;
  }
  /// As the trainer does between steps; returns how often this rank had news.
  static int GoOnUntilWritten(CheckpointWriter& writer, Communicator& comm) {
    int news = 0;
    while (writer.writing()) {
      const bool mine = writer.HasNews();
      news += mine;
      if (AnyRank(comm, mine)) writer.Advance();
    }
    return news;
  }

  TemporaryFolder folder_;
};

TEST_F(BackgroundSave, HasTheBytesOfOneAtOnceWhileStepsGoOn) {
  const auto comm = WorldOfOne();
  for (const at::Device where : {at::Device(at::kCPU), stand_in::Device()}) {
    const std::string run = where.is_cpu() ? "cpu" : "device";
    Rank rank("fastclip_v3", {kLanes}, *comm, 0, "fp32", {}, where);
    rank.table.MoveTo(where);
    CheckpointWriter once(folder_ / (run + " at once"), *comm), late(folder_ / run, *comm);
    for (int step = 0; step < 3; ++step) {  // the second overwrites the copy of the first
      const CheckpointMeta meta = MetaOf(rank, step);
      once.Save(meta, ContentOf(rank), 2, How::kAtOnce);
      const at::Tensor before = rank.Weights();
      stand_in::ResetCounts();
      ASSERT_TRUE(late.Save(meta, ContentOf(rank), 2, How::kInBackground));
      EXPECT_EQ(stand_in::counts().host_reads, 0);
      rank.Run(step);
      EXPECT_FALSE(at::equal(rank.Weights(), before));
      late.Finish();
      EXPECT_EQ(late.saved_step(), step);
      const Files files = FilesOf(run, step);
      EXPECT_EQ(files.size(), 5u);
      EXPECT_TRUE(files == FilesOf(run + " at once", step)) << run << " " << step;
    }
    EXPECT_EQ(Names(run), (std::vector<std::string>{"step_1", "step_2"}));
  }
}

TEST_F(BackgroundSave, ACopyFromADeviceIsThereAfterItsWait) {
  HostCopy copy;
  const at::Tensor weights = at::full({5}, 3).to(at::kFloat).to(stand_in::Device());
  stand_in::ResetCounts();
  const auto copied = copy.Of({{{"weights", weights}}, {}, {}});
  ASSERT_TRUE(copied);
  const at::Tensor host = copied->model[0].second;
  EXPECT_TRUE(host.isnan().all().item<bool>());
  weights.fill_(7);
  copy.Wait();
  EXPECT_TRUE(host.eq(3).all().item<bool>()) << host;
  EXPECT_EQ(stand_in::counts().late_copies, 1);
  EXPECT_EQ(stand_in::counts().host_reads, 0);
}

TEST_F(BackgroundSave, UsesTheMemoryOfOneCopyAgain) {
  HostCopy copy;
  const at::Tensor transposed = at::arange(6, at::kDouble).view({2, 3}).t();
  const CheckpointContent content{{{"a", at::ones({3})}, {"b", transposed}},
                                  {{"step", at::full({}, 2.5)}},
                                  {{{"u"}, {0, 1}, {0}, at::empty({0, 1})}}};
  const auto first = copy.Of(content), second = copy.Of(content);
  ASSERT_TRUE(first && second);
  for (std::size_t i = 0; i < 2; ++i) {
    const at::Tensor& tensor = second->model[i].second;
    EXPECT_EQ(first->model[i].second.data_ptr(), tensor.data_ptr());
    EXPECT_NE(content.model[i].second.data_ptr(), tensor.data_ptr());
    EXPECT_TRUE(tensor.equal(content.model[i].second));
  }
  EXPECT_EQ(second->optimizer[0].second.item<double>(), 2.5);
  EXPECT_EQ(second->state->values.sizes(), (std::vector<std::int64_t>{0, 1}));
}

TEST_F(BackgroundSave, IsMadeAtOnceWhereThereIsNoMemoryForACopy) {
  RunRanks(2, [&](Communicator& comm) {
    const Rank rank("fastclip_v3", {4, 4}, comm);
    const std::int64_t free = comm.rank() == 1 ? 10 : 1'000'000'000;
    CheckpointWriter writer(folder_ / "run", comm, [free] { return free; });
    EXPECT_FALSE(writer.Save(MetaOf(rank, 4), ContentOf(rank), 2, How::kInBackground));
    EXPECT_FALSE(writer.writing());
    EXPECT_EQ(writer.saved_step(), 4);
  });
  CheckCheckpoint(folder_ / "run/checkpoints/step_4");
}

TEST_F(BackgroundSave, OfSeveralRanksIsCompleteOnceAllFoundTheirFilesWritten) {
  RunRanks(3, [&](Communicator& comm) {
    Rank rank("fastclip_v3", {3, 3, 2}, comm);
    CheckpointWriter once(folder_ / "at once", comm), late(folder_ / "run", comm);
    for (int step = 0; step < 3; ++step) {
      rank.Run(step);
      once.Save(MetaOf(rank, step), ContentOf(rank), 2, How::kAtOnce);
      ASSERT_TRUE(late.Save(MetaOf(rank, step), ContentOf(rank), 2, How::kInBackground));
      const int news = GoOnUntilWritten(late, comm);
      EXPECT_LE(news, comm.rank() == 0 ? 2 : 1);
      EXPECT_EQ(late.last(), folder_ / ("run/checkpoints/step_" + std::to_string(step)));
    }
  });
  EXPECT_EQ(FilesOf("run", 2).size(), 7u);
  EXPECT_TRUE(FilesOf("run", 2) == FilesOf("at once", 2));
}

TEST_F(BackgroundSave, ThatFailsOnOneRankFailsOnAllAndLeavesTheEarlierOnes) {
  RunRanks(3, [&](Communicator& comm) {
    const Rank rank("fastclip_v3", {3, 3, 2}, comm);
    CheckpointWriter writer(folder_ / "run", comm);
    writer.Save(MetaOf(rank, 10), ContentOf(rank), 2, How::kAtOnce);
    CheckpointContent content = ContentOf(rank);
    if (comm.rank() == 1) content.state->lane_sizes = {5};  // a table that cannot be
    ASSERT_TRUE(writer.Save(MetaOf(rank, 20), content, 2, How::kInBackground));
    const std::string message = MessageOf([&] { GoOnUntilWritten(writer, comm); });
    EXPECT_NE(message.find("step 20 could not be saved: rank 1: "), std::string::npos) << message;
    EXPECT_FALSE(writer.writing());
    EXPECT_EQ(writer.saved_step(), 10);
    if (comm.rank() == 0) {
      EXPECT_EQ(Names("run"), std::vector<std::string>{"step_10"});
    }
    writer.Save(MetaOf(rank, 21), ContentOf(rank), 2, How::kAtOnce);
  });
  EXPECT_EQ(Names("run"), (std::vector<std::string>{"step_10", "step_21"}));
}

TEST_F(BackgroundSave, IsRefusedBeforeItIsWrittenWhereTheDiskIsTooSmall) {
  const auto comm = WorldOfOne();
  const Rank rank("fastclip_v3", {kLanes}, *comm);
  CheckpointWriter writer(folder_ / "run", *comm);
  writer.Save(MetaOf(rank, 10), ContentOf(rank), 2, How::kAtOnce);
  CheckpointContent huge = ContentOf(rank);
  huge.model[0].second = at::zeros({1}).expand({std::int64_t{1} << 50});
  for (const How how : {How::kAtOnce, How::kInBackground}) {
    const std::string message = MessageOf([&] { writer.Save(MetaOf(rank, 20), huge, 2, how); });
    EXPECT_NE(message.find("step 20 could not be saved: the checkpoint needs 45035996"),
              std::string::npos)
        << message;
    EXPECT_NE(message.find(" MB free; remove files"), std::string::npos) << message;
    EXPECT_EQ(Names("run"), std::vector<std::string>{"step_10"});
    EXPECT_FALSE(writer.writing());
  }
}

TEST_F(BackgroundSave, OfOneRankIsCompleteWhenItsWriterGoes) {
  const auto comm = WorldOfOne();
  const Rank rank("fastclip_v3", {kLanes}, *comm);
  {
    CheckpointWriter writer(folder_ / "run", *comm);
    ASSERT_TRUE(writer.Save(MetaOf(rank, 10), ContentOf(rank), 2, How::kInBackground));
  }
  EXPECT_EQ(CheckCheckpoint(folder_ / "run/checkpoints/step_10").step, 10);
}

}  // namespace
}  // namespace fastclip

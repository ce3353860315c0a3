#include "trainer/state/checkpoint.h"

#include <ATen/ATen.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>

#include "tests/support/error_of.h"
#include "tests/support/paths.h"
#include "tests/support/thread_communicator.h"
#include "trainer/base/file_io.h"
#include "trainer/state/checkpoint_writer.h"
#include "trainer/state/safetensors.h"
#include "trainer/step/live_bytes.h"

namespace fastclip {
namespace {

namespace fs = std::filesystem;
using testing::Test;

CheckpointMeta Meta(std::int64_t step) {
  CheckpointMeta meta;
  meta.step = step;
  meta.epoch = step / 7;
  meta.order = {.size = 60,
                .batch_size = 8,
                .lanes = 4,
                .chunk = 2,
                .window = 16,
                .seed = 0xfedcba9876543210};
  meta.data_hash = 0x00ff00ff12345678;
  meta.objective = "fastclip_v3";
  meta.mode = "exact";
  meta.model = "tiny";
  meta.model_config = R"({"embed_dim":16,"quick_gelu":false})";
  meta.tokenizer = "clip:words.txt";
  meta.vocabulary_hash = 0xff00000000000001;
  meta.scaler = GradScaler::State{.scale = 4096, .good_steps = 17};
  meta.overflowed_steps = 4;
  for (const Skip cause : kAllSkips) meta.skips[cause] = 1 + static_cast<int>(cause);
  meta.refused_steps = 3;
  meta.refused_in_a_row = 1;
  meta.metrics_bytes = 4711;
  meta.threads = 2;
  meta.world_size = 3;
  meta.versions = {{"fastclip", "0.1.0"}, {"torch", "2.15.0"}};
  return meta;
}

// Rows hold 100·lane + slot, so that a test sees whose they are.
StateRows Rows(LaneRange lanes, const std::vector<std::int64_t>& sizes) {
  std::vector<float> numbers;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    for (std::int64_t slot = 0; slot < sizes[i]; ++slot) {
      const auto number =
          static_cast<float>(100 * (lanes.first + static_cast<std::int64_t>(i)) + slot);
      numbers.insert(numbers.end(), {number, -number});
    }
  }
  return {{"log_u_image", "log_u_text"}, lanes, sizes, at::tensor(numbers).view({-1, 2})};
}

CheckpointContent Content(double number) {
  return {{{"visual.proj", at::full({3, 5}, number)}, {"logit_scale", at::full({}, number)}},
          {{"exp_avg.visual.proj", at::full({3, 5}, number / 2)}, {"step", at::full({}, number)}},
          {Rows({0, 4}, {16, 16, 14, 14})}};
}

at::Tensor LanesOf(const SavedTable& saved, LaneRange lanes, std::int64_t rows) {
  at::Tensor values = at::empty({rows, 2}, saved.type());
  saved.Read(lanes, values);
  return values;
}

double ModelNumber(const std::string& checkpoint) {
  return LoadModel(checkpoint).front().second.flatten()[0].item<double>();
}

void Overwrite(const fs::path& file, std::uintmax_t offset, char mask) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekg(static_cast<std::streamoff>(offset));
  const char byte = static_cast<char>(stream.get() ^ mask);
  stream.seekp(static_cast<std::streamoff>(offset));
  stream.put(byte);
}

class Checkpoint : public Test {
 protected:
  void SaveAlone(const CheckpointMeta& meta, const CheckpointContent& content, int keep_last = 2) {
    const auto alone = WorldOfOne();
    CheckpointWriter(run(), *alone).Save(meta, content, keep_last, CheckpointWriter::How::kAtOnce);
  }
  void SaveWith(Communicator& comm, const CheckpointMeta& meta, const CheckpointContent& content) {
    CheckpointWriter(run(), comm).Save(meta, content, 2, CheckpointWriter::How::kAtOnce);
  }
  std::string run() const { return folder_.path(); }
  std::string At(const std::string& name) const { return folder_ / ("checkpoints/" + name); }
  void Save(std::int64_t step, int keep_last = 2) {
    SaveAlone(Meta(step), Content(static_cast<double>(step)), keep_last);
  }
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(At("")))
      names.push_back(entry.path().filename());
    std::ranges::sort(names);
    return names;
  }

  TemporaryFolder folder_;
};

using Strings = std::vector<std::string>;

TEST_F(Checkpoint, GivesBackEveryNumberAndTensor) {
  Save(10);
  const auto found = FindNewestCheckpoint(run());
  ASSERT_TRUE(found);
  EXPECT_EQ(found->path, At("step_10"));
  EXPECT_TRUE(found->passed_over.empty());
  const CheckpointMeta &meta = found->meta, expected = Meta(10);
  EXPECT_EQ(meta.step, expected.step);
  EXPECT_EQ(meta.epoch, expected.epoch);
  EXPECT_EQ(meta.order.size, expected.order.size);
  EXPECT_EQ(meta.order.batch_size, expected.order.batch_size);
  EXPECT_EQ(meta.order.lanes, expected.order.lanes);
  EXPECT_EQ(meta.order.chunk, expected.order.chunk);
  EXPECT_EQ(meta.order.window, expected.order.window);
  EXPECT_EQ(meta.order.seed, expected.order.seed);
  EXPECT_EQ(meta.data_hash, expected.data_hash);
  EXPECT_EQ(meta.objective, expected.objective);
  EXPECT_EQ(meta.mode, expected.mode);
  EXPECT_EQ(meta.model, expected.model);
  EXPECT_EQ(meta.model_config, expected.model_config);
  EXPECT_EQ(meta.tokenizer, expected.tokenizer);
  EXPECT_EQ(meta.vocabulary_hash, expected.vocabulary_hash);
  ASSERT_TRUE(meta.scaler);
  EXPECT_EQ(meta.scaler->scale, 4096);
  EXPECT_EQ(meta.scaler->good_steps, 17);
  EXPECT_EQ(meta.overflowed_steps, 4);
  EXPECT_EQ(meta.skips, expected.skips);
  EXPECT_EQ(meta.refused_steps, expected.refused_steps);
  EXPECT_EQ(meta.refused_in_a_row, expected.refused_in_a_row);
  EXPECT_EQ(meta.metrics_bytes, expected.metrics_bytes);
  EXPECT_EQ(meta.threads, expected.threads);
  EXPECT_EQ(meta.world_size, expected.world_size);
  EXPECT_EQ(meta.versions, expected.versions);

  const CheckpointContent content = Content(10);
  const auto equal = [](const NamedTensors& a, const NamedTensors& b) {
    ASSERT_EQ(a.size(), b.size());
    for (const auto& [name, tensor] : b) {
      const auto same = std::ranges::find(a, name, &NamedTensors::value_type::first);
      ASSERT_NE(same, a.end()) << name;
      EXPECT_TRUE(same->second.equal(tensor)) << name;
    }
  };
  equal(LoadModel(found->path), content.model);
  equal(LoadOptimizer(found->path), content.optimizer);
  const auto saved = OpenTable(found->path);
  ASSERT_TRUE(saved);
  EXPECT_EQ(saved->columns(), content.state->columns);
  EXPECT_EQ(saved->type(), at::kFloat);
  EXPECT_TRUE(LanesOf(*saved, {0, 4}, 60).equal(content.state->values));
}

TEST_F(Checkpoint, IsNotThereBeforeTheFirstSave) {
  EXPECT_FALSE(FindNewestCheckpoint(run()));
  EXPECT_FALSE(FindNewestCheckpoint(run() + "/no such folder"));
}

TEST_F(Checkpoint, OfWeightsThatAreNotFiniteIsNoneToGoOnFrom) {
  Save(1);
  SaveAlone(Meta(2), Content(std::numeric_limits<double>::quiet_NaN()));
  const auto found = FindNewestCheckpoint(run());
  ASSERT_TRUE(found);
  EXPECT_EQ(found->path, At("step_1"));
  ASSERT_EQ(found->passed_over.size(), 1u);
  EXPECT_NE(found->passed_over[0].find("visual.proj holds a NaN"), std::string::npos)
      << found->passed_over[0];
}

TEST_F(Checkpoint, KeepsTheLastOnes) {
  for (const int step : {2, 5, 10, 100}) Save(step, 3);
  EXPECT_EQ(Names(), (Strings{"step_10", "step_100", "step_5"}));
  Save(101);
  EXPECT_EQ(Names(), (Strings{"step_100", "step_101"}));
  EXPECT_THROW(Save(102, 1), std::invalid_argument);
}

TEST_F(Checkpoint, DoesNotCountADamagedOneAmongThoseKept) {
  Save(10);
  Save(20);
  fs::resize_file(At("step_20") + "/model.safetensors", 100);
  Save(30);
  EXPECT_EQ(Names(), (Strings{"step_10", "step_20", "step_30"}));
  Save(40);
  EXPECT_EQ(Names(), (Strings{"step_30", "step_40"}));
}

TEST_F(Checkpoint, ReplacesOneOfTheSameStep) {
  Save(10);
  Save(20);
  SaveAlone(Meta(20), Content(21));
  EXPECT_EQ(Names(), (Strings{"step_10", "step_20"}));
  EXPECT_EQ(ModelNumber(FindNewestCheckpoint(run())->path), 21);
}

TEST_F(Checkpoint, SurvivesACrashAtAnyPointOfASave) {
  Save(10);
  Save(20);
  // While files are written: an unfinished folder beside.
  fs::copy(At("step_20"), At("step_30.tmp"));
  EXPECT_EQ(FindNewestCheckpoint(run())->path, At("step_20"));
  // While a checkpoint of the same step is replaced: the name is free for a moment.
  fs::rename(At("step_20"), At("step_20.old"));
  const auto found = FindNewestCheckpoint(run());
  EXPECT_EQ(found->path, At("step_20.old"));
  EXPECT_TRUE(found->passed_over.empty());
  EXPECT_EQ(ModelNumber(found->path), 20);
  // The next save clears away what the crashes left.
  Save(30);
  EXPECT_EQ(FindNewestCheckpoint(run())->path, At("step_30"));
  EXPECT_EQ(Names(), (Strings{"step_10", "step_30"}));
}

TEST_F(Checkpoint, IsPassedOverByNameWhereAnyByteOfAnyFileIsWrongOrMissing) {
  Save(10);
  Save(20);
  const fs::path newest = At("step_20"), copy = folder_ / "copy";
  fs::copy(newest, copy);
  int cases = 0;
  const auto expect_older = [&](const std::string& name, const std::string& what) {
    const auto found = FindNewestCheckpoint(run());
    ASSERT_TRUE(found) << name << what;
    EXPECT_EQ(found->path, At("step_10")) << name << what;
    ASSERT_EQ(found->passed_over.size(), 1u) << name << what;
    EXPECT_NE(found->passed_over[0].find(newest.string() + ": " + name), std::string::npos)
        << found->passed_over[0];
    EXPECT_EQ(found->passed_over[0].find('\n'), std::string::npos);
    fs::remove_all(newest);
    fs::copy(copy, newest);
    ++cases;
  };
  for (const auto& entry : fs::directory_iterator(copy)) {
    const std::string name = entry.path().filename();
    const auto size = fs::file_size(entry.path());
    fs::remove(newest / name);
    expect_older(name, " removed");
    for (const auto length : {std::uintmax_t{0}, std::uintmax_t{1}, size / 3, size / 2, size - 2}) {
      fs::resize_file(newest / name, length);
      expect_older(name, " cut at " + std::to_string(length));
    }
    std::ofstream(newest / name, std::ios::app) << "more";
    expect_older(name, " longer");
    for (std::uintmax_t offset = 0; offset + 1 < size; offset += 1 + size / 16) {
      Overwrite(newest / name, offset, 0x04);
      expect_older(name, " flipped at " + std::to_string(offset));
    }
  }
  std::printf("%d damaged copies passed over\n", cases);
  EXPECT_GE(cases, 4 * 20);
  EXPECT_EQ(FindNewestCheckpoint(run())->path, newest);
}

TEST_F(Checkpoint, IsPassedOverWhereItsJsonIsDeepOrAPipe) {
  Save(10);
  Save(20);
  const std::string file = At("step_20") + "/checkpoint.json";
  constexpr std::size_t kDepth = 200'000;
  fs::remove(file);
  ReplaceFile(file, "{\"a\":" + std::string(kDepth, '[') + std::string(kDepth, ']') + "}");
  EXPECT_EQ(FindNewestCheckpoint(run())->path, At("step_10"));
  fs::remove(file);
  ASSERT_EQ(mkfifo(file.c_str(), 0600), 0);
  EXPECT_EQ(FindNewestCheckpoint(run())->path, At("step_10"));
}

TEST_F(Checkpoint, IsPassedOverUnderAnotherStepsName) {
  Save(10);
  fs::copy(At("step_10"), At("step_99"));
  const auto found = FindNewestCheckpoint(run());
  EXPECT_EQ(found->path, At("step_10"));
  EXPECT_NE(found->passed_over.at(0).find("step_99: is a checkpoint of step 10"),
            std::string::npos);
}

TEST_F(Checkpoint, NeverStartsARunAgainWhereAllAreDamaged) {
  Save(10);
  Save(20);
  fs::remove(At("step_10") + "/checkpoint.json");
  fs::resize_file(At("step_20") + "/optimizer.safetensors", 9);
  const std::string message = ErrorOf([&] { FindNewestCheckpoint(run()); });
  EXPECT_NE(message.find("step_20: optimizer.safetensors has 9 bytes"), std::string::npos)
      << message;
  EXPECT_NE(message.find("step_10: checkpoint.json is missing"), std::string::npos) << message;
}

TEST_F(Checkpoint, OfALaterFormatSaysSo) {
  Save(10);
  const std::string file = At("step_10") + "/checkpoint.json";
  auto document = nlohmann::json::parse(ReadWholeFile(file, 1 << 20));
  document["format"] = 4;
  document.erase("xxh3_of_the_rest");
  document["xxh3_of_the_rest"] = fmt::format("{:016x}", Xxh3(document.dump()));
  fs::remove(file);
  ReplaceFile(file, document.dump());
  EXPECT_NE(ErrorOf([&] {
              CheckCheckpoint(At("step_10"));
            }).find("has format 4, but this version reads up to 3"),
            std::string::npos);
}

// The limit on a file's size stands for a full disk: both end a write before all is written.
TEST_F(Checkpoint, LeavesTheEarlierOnesAloneWhereTheDiskIsFull) {
  Save(10);
  Save(20);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  // The first file that no longer fits: model, optimizer, state, checkpoint.json.
  int failures = 0;
  CheckpointContent big = Content(30);
  for (const std::int64_t rows : {100'000, 10, 1}) {
    big.model[0].second = at::zeros({rows, 10});
    for (const rlim_t limit : {0, 64, 400, 600, 900, 2000}) {
      const rlimit low{.rlim_cur = limit, .rlim_max = before.rlim_max};
      ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &low), 0);
      const std::string message = ErrorOf([&] { SaveAlone(Meta(30), big); });
      ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
      if (message.empty()) {
        fs::remove_all(At("step_30"));
        SaveAlone(Meta(10), Content(10));  // what the success pushed out
        continue;
      }
      ++failures;
      EXPECT_NE(message.find("step 30 could not be saved"), std::string::npos) << message;
      EXPECT_NE(message.find("File too large"), std::string::npos) << message;
      EXPECT_EQ(message.find('\n'), std::string::npos) << message;
      EXPECT_EQ(Names(), (Strings{"step_10", "step_20"})) << message;
    }
  }
  std::signal(SIGXFSZ, handler);
  std::printf("%d saves met the full disk\n", failures);
  EXPECT_GE(failures, 6);
  EXPECT_EQ(FindNewestCheckpoint(run())->path, At("step_20"));
  CheckCheckpoint(At("step_10"));
}

TEST_F(Checkpoint, GivesTheRowsOfAnyLanesFromAnyNumberOfRanks) {
  const std::vector<StateRows> parts = {Rows({0, 2}, {16, 15}), Rows({2, 3}, {14}),
                                        Rows({3, 7}, {14, 13, 12, 11})};
  RunRanks(3, [&](Communicator& comm) {
    CheckpointContent content = comm.rank() == 0 ? Content(1) : CheckpointContent{};
    content.state = parts[static_cast<std::size_t>(comm.rank())];
    SaveWith(comm, Meta(1), content);
  });
  CheckCheckpoint(At("step_1"));
  const std::vector<std::int64_t> sizes = {16, 15, 14, 14, 13, 12, 11};
  const auto saved = OpenTable(At("step_1"));
  ASSERT_TRUE(saved);
  for (std::int64_t first = 0; first < 7; ++first) {
    for (std::int64_t last = first + 1; last <= 7; ++last) {
      const at::Tensor expected =
          Rows({first, last}, {sizes.begin() + first, sizes.begin() + last}).values;
      EXPECT_TRUE(LanesOf(*saved, {first, last}, expected.size(0)).equal(expected))
          << first << " to " << last;
      at::Tensor wide = at::empty(expected.sizes(), at::kDouble);  // a run of another precision
      saved->Read({first, last}, wide);
      EXPECT_TRUE(wide.equal(expected.to(at::kDouble)));
    }
  }
  const std::vector<LanePlace> places = {{6, 10}, {0, 3}, {3, 13}, {0, 2}, {2, 0}, {0, 3}};
  EXPECT_TRUE(saved->Read(places).select(1, 0).equal(
      at::tensor(std::vector<float>{610, 3, 313, 2, 200, 3})));
  const auto expect = [&](const char* what, const std::function<void()>& action) {
    const std::string message = ErrorOf(action);
    EXPECT_NE(message.find(what), std::string::npos) << message;
  };
  expect("no state file holds lane 7", [&] { LanesOf(*saved, {5, 8}, 23); });
  expect("have 31 rows, but 30 are needed", [&] { LanesOf(*saved, {0, 2}, 30); });
  expect("has 2 columns per record, but 10 are", [&] { saved->Read({0, 1}, at::empty({16, 10})); });
  const std::vector<LanePlace> outside = {{1, 15}};
  expect("lane 1 has 15 rows, but slot 15 was requested", [&] { saved->Read(outside); });
}

/// All that this process has read so far, from files and pipes.
std::int64_t BytesRead() {
  std::ifstream io("/proc/self/io");
  std::string word;
  std::int64_t bytes = 0;
  io >> word >> bytes;
  return word == "rchar:" ? bytes : -1;
}

TEST_F(Checkpoint, CostsARankItsOwnRowsBytesAndNoOther) {
  constexpr int kRanks = 8;
  constexpr std::int64_t kRows = 20'000;  // of a lane, one a rank; 160 kB
  RunRanks(kRanks, [&](Communicator& comm) {
    CheckpointContent content = comm.rank() == 0 ? Content(1) : CheckpointContent{};
    content.state = {{"log_u_image", "log_u_text"},
                     {comm.rank(), comm.rank() + 1},
                     {kRows},
                     at::full({kRows, 2}, static_cast<double>(comm.rank()), at::kFloat)};
    SaveWith(comm, Meta(1), content);
  });
  at::Tensor mine = at::empty({kRows, 2});
  const auto live = std::make_shared<LiveBytes>();
  const std::int64_t before = BytesRead();
  if (before < 0) GTEST_SKIP() << "/proc/self/io is not there";
  {
    const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, live);
    OpenTable(At("step_1"))->Read({6, 7}, mine);
  }
  const std::int64_t read = BytesRead() - before;
  EXPECT_TRUE(mine.eq(6).all().item<bool>());
  EXPECT_LT(read, static_cast<std::int64_t>(mine.nbytes()) + 20'000);  // and some headers
  EXPECT_EQ(live->peak(), 0);                                          // straight into the table
}

TEST_F(Checkpoint, GivesEachRecordItsRowsUnderAnotherOrder) {
  const std::vector<std::string> columns = {"log_u_image", "log_u_text"};
  const OrderPlan before({.size = 500, .batch_size = 24, .lanes = 6, .chunk = 5});
  RunRanks(3, [&](Communicator& comm) {
    const LaneRange lanes{2 * comm.rank(), 2 * comm.rank() + 2};
    SampleTable table(before, lanes, columns, {-1, -1}, at::kFloat);
    table.ForEachRecord([&](std::span<const std::int64_t> indices) {
      const auto numbers = at::tensor(at::ArrayRef(indices.data(), indices.size()), at::kFloat);
      table.Write(indices, at::stack({numbers, -numbers}, 1));
    });
    CheckpointContent content = comm.rank() == 0 ? Content(1) : CheckpointContent{};
    content.state = {columns,
                     lanes,
                     {before.lane_size(lanes.first), before.lane_size(lanes.first + 1)},
                     table.values()};
    SaveWith(comm, Meta(1), content);
  });
  const OrderPlan after({.size = 500, .batch_size = 32, .lanes = 8, .chunk = 3});
  std::int64_t records = 0;
  for (const LaneRange lanes : {LaneRange{0, 3}, LaneRange{3, 8}}) {
    SampleTable table(after, lanes, columns, {-1, -1}, at::kDouble);
    CarryOver(*OpenTable(At("step_1")), before, table);
    table.ForEachRecord([&](std::span<const std::int64_t> indices) {
      records += std::ssize(indices);
      const auto numbers = at::tensor(at::ArrayRef(indices.data(), indices.size()), at::kDouble);
      EXPECT_TRUE(table.Read(indices).equal(at::stack({numbers, -numbers}, 1)));
    });
  }
  EXPECT_EQ(records, 500);
}

TEST_F(Checkpoint, IsNotMadeWhereOneRankCannotWriteItsPart) {
  Save(10);
  RunRanks(3, [&](Communicator& comm) {
    CheckpointContent content = comm.rank() == 0 ? Content(20) : CheckpointContent{};
    content.state = Rows({comm.rank(), comm.rank() + 1}, {4});
    if (comm.rank() == 1) content.state->lane_sizes = {5};  // a table that cannot be
    const std::string message = ErrorOf([&] { SaveWith(comm, Meta(20), content); });
    EXPECT_NE(message.find("step 20 could not be saved: rank 1: "), std::string::npos) << message;
  });
  EXPECT_EQ(Names(), Strings{"step_10"});
}

TEST_F(Checkpoint, HasStateFilesWhoseHeaderTellsTheLayout) {
  Save(10);
  const auto header = ReadSafetensors(At("step_10") + "/state_0.safetensors").metadata;
  EXPECT_EQ(header.at("columns"), R"(["log_u_image","log_u_text"])");
  EXPECT_EQ(header.at("lanes_first"), "0");
  EXPECT_EQ(header.at("lanes_last"), "4");
  EXPECT_EQ(header.at("lane_sizes"), "[16,16,14,14]");
  EXPECT_EQ(
      header.at("order"),
      R"({"batch_size":8,"chunk":2,"lanes":4,"seed":18364758544493064720,"size":60,"window":16})");
  EXPECT_EQ(header.at("data_hash"), "00ff00ff12345678");
}

TEST_F(Checkpoint, HasNoStateFileWhereTheObjectiveHasNone) {
  CheckpointContent content = Content(1);
  content.state.reset();
  SaveAlone(Meta(1), content);
  EXPECT_FALSE(fs::exists(At("step_1") + "/state_0.safetensors"));
  EXPECT_EQ(FindNewestCheckpoint(run())->path, At("step_1"));
}

TEST_F(Checkpoint, IsResolvedFromWhatAUserTypes) {
  Save(10);
  Save(20);
  EXPECT_EQ(ResolveModel(run()).file, At("step_20") + "/model.safetensors");
  EXPECT_EQ(ResolveModel(run()).run, run());
  for (const std::string slash : {"", "/"}) {
    const ModelSource model = ResolveModel(At("step_10") + slash);
    EXPECT_TRUE(fs::equivalent(model.file, At("step_10") + "/model.safetensors"));
    EXPECT_TRUE(fs::equivalent(model.run, run()));
  }
  const std::string file = At("step_10") + "/model.safetensors";
  EXPECT_EQ(ResolveModel(file).file, file);
  EXPECT_EQ(ResolveModel(file).run, "");

  fs::resize_file(At("step_20") + "/model.safetensors", 100);
  EXPECT_EQ(ResolveModel(run()).file, file);
  EXPECT_EQ(ResolveModel(run()).passed_over.size(), 1u);
  EXPECT_THROW(ResolveModel(At("step_20")), std::runtime_error);
  std::filesystem::create_directory(run() + "/started");
  std::ofstream(run() + "/started/config.toml") << "# a run";
  EXPECT_NE(ErrorOf([&] { ResolveModel(run() + "/started"); }).find("has no checkpoint yet"),
            std::string::npos);
  EXPECT_NE(ErrorOf([&] { ResolveModel(run() + "/nothing"); }).find("no such file or folder"),
            std::string::npos);
  std::filesystem::create_directory(run() + "/other");
  EXPECT_NE(ErrorOf([&] { ResolveModel(run() + "/other"); }).find("neither a run folder"),
            std::string::npos);
  EXPECT_NE(ErrorOf([&] {
              ResolveModel(At("step_11/"));
            }).find("no such checkpoint; " + run() + "/checkpoints has step_20, step_10"),
            std::string::npos);
  fs::remove_all(At("step_10"));
  fs::remove_all(At("step_20"));
  EXPECT_NE(ErrorOf([&] { ResolveModel(run()); }).find("has no checkpoint yet"), std::string::npos);
}

TEST_F(Checkpoint, MayLackModelAndTokenizer) {
  CheckpointMeta meta = Meta(10);
  meta.model_config = meta.tokenizer = "";
  SaveAlone(meta, Content(10));
  const CheckpointMeta read = CheckCheckpoint(At("step_10"));
  EXPECT_EQ(read.model_config, "");
  EXPECT_EQ(read.tokenizer, "");
}

}  // namespace
}  // namespace fastclip

// The training step, evaluation and resume on a device that is not the CPU equal the CPU's. The
// device is the program's: tests/trainer/device_under_test.h.

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/loader/batch_loader.h"
#include "tests/support/fake_source.h"
#include "tests/support/paths.h"
#include "tests/support/thread_communicator.h"
#include "tests/trainer/on_device.h"
#include "tests/trainer/small_model.h"
#include "trainer/eval/class_hits.h"
#include "trainer/eval/encode_set.h"
#include "trainer/eval/linear_probe.h"
#include "trainer/eval/retrieval.h"
#include "trainer/eval/zero_shot.h"
#include "trainer/model/attention.h"
#include "trainer/model/autocast.h"
#include "trainer/model/dropout.h"
#include "trainer/state/safetensors.h"
#include "trainer/step/batch_tensors.h"
#include "trainer/step/pinned_memory.h"

namespace fastclip {
namespace {

/// A step of the GPU path against the same step on the CPU.
class DeviceStep : public OnDevice, public testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(EveryObjective, DeviceStep,
                         testing::Values("fastclip_v0", "fastclip_v1", "fastclip_v2", "fastclip_v3",
                                         "sogclr", "isogclr", "openclip", "siglip"));

TEST_P(DeviceStep, EqualsTheCpus) {
  const auto comm = WorldOfOne();
  Rank cpu(GetParam(), {kLanes}, *comm, 0.5);
  Rank device(GetParam(), {kLanes}, *comm, 0.5, "fp64", {}, device_);
  ExpectSameSteps(cpu, device);
}

TEST_P(DeviceStep, EqualsTheCpusInMicroBatches) {
  const auto comm = WorldOfOne();
  Rank cpu(GetParam(), {kLanes}, *comm);
  Rank device(GetParam(), {kLanes}, *comm, 0, "fp64", {}, device_);
  ExpectSameSteps(cpu, device, 4);
}

TEST_P(DeviceStep, EqualsTheCpusOnSeveralRanks) {
  // Ranks that are threads need a device each: backward passes of one run in one thread.
  if (under_test::count() < 2) GTEST_SKIP() << "one device only";
  for (const std::vector<std::int64_t>& cut :
       {std::vector<std::int64_t>{4, 4}, std::vector<std::int64_t>{3, 2, 2, 1}}) {
    if (static_cast<int>(cut.size()) > under_test::count()) continue;
    RunRanks(static_cast<int>(cut.size()), [&](Communicator& comm) {
      Rank cpu(GetParam(), cut, comm);
      Rank device(GetParam(), cut, comm, 0, "fp64", {}, under_test::Device(comm.rank()));
      ExpectSameSteps(cpu, device);
    });
  }
}

class DeviceOptimizer : public OnDevice, public testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(EveryOptimizer, DeviceOptimizer,
                         testing::Values("adamw", "lamb", "lion", "sgdm"));

TEST_P(DeviceOptimizer, EqualsTheCpus) {
  const auto comm = WorldOfOne();
  const OptimizerOptions options{.name = GetParam()};
  Rank cpu("fastclip_v3", {kLanes}, *comm, 0, "fp64", {}, at::kCPU, options);
  Rank device("fastclip_v3", {kLanes}, *comm, 0, "fp64", {}, device_, options);
  // lion's step is a sign: where a gradient is zero up to rounding it can differ.
  ExpectSameSteps(cpu, device, 1, 1e-9, GetParam() == std::string("lion") ? 1e-2 : 0);
}

class DevicePrecision : public OnDevice, public testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(EveryPrecision, DevicePrecision,
                         testing::Values("fp32", "amp_bf16", "amp"));

TEST_P(DevicePrecision, IsCloseToTheCpus) {
  const auto comm = WorldOfOne();
  Rank cpu("fastclip_v3", {kLanes}, *comm, 0, GetParam());
  Rank device("fastclip_v3", {kLanes}, *comm, 0, GetParam(), {}, device_);
  const Precision precision = PrecisionOf(GetParam());
  const double ulp = precision.autocast == at::kBFloat16 ? 1.0 / 256
                     : precision.autocast                ? 1.0 / 2048
                                                         : 1e-6;
  for (std::int64_t step = 0; step < 2; ++step) {
    const StepReport expected = cpu.Run(step), report = device.Run(step);
    EXPECT_NEAR(report.contrastive_loss, expected.contrastive_loss,
                8 * ulp * expected.contrastive_loss);
    EXPECT_NEAR(report.gradient_norm, expected.gradient_norm, 32 * ulp * expected.gradient_norm);
  }
  // The towers compute in the lower precision there too: their features differ from float32's.
  Rank exact("fastclip_v3", {kLanes}, *comm, 0, "fp32", {}, device_);
  const double apart = std::abs(
      exact.Run(0).contrastive_loss -
      Rank("fastclip_v3", {kLanes}, *comm, 0, GetParam(), {}, device_).Run(0).contrastive_loss);
  EXPECT_EQ(apart > 1e-6, precision.autocast.has_value()) << apart;
}

TEST_F(OnDevice, NormalisesInTheLowPrecisionAsTheCpu) {
  const at::NoGradGuard no_grad;
  FreshWeights weights(1, at::kFloat);
  LayerNorm cpu(weights, "a", 64), device(weights, "b", 64);
  cpu.weight.copy_(at::linspace(0.5, 2, 64));
  device.weight = cpu.weight.to(device_);
  device.bias = cpu.bias.to(device_);
  const at::Tensor values = at::linspace(0, 90, 4 * 64).sin().add(9).view({4, 64});
  for (const at::ScalarType low : {at::kBFloat16, at::kHalf}) {
    const double ulp = low == at::kBFloat16 ? 1.0 / 256 : 1.0 / 2048;
    for (const at::ScalarType type : {at::kFloat, low}) {
      const at::Tensor x = values.to(type);
      const AutocastGuard on_cpu(at::kCPU, low), on_device(device_.type(), low);
      const at::Tensor y = device(x.to(device_));
      EXPECT_EQ(y.scalar_type(), low);
      EXPECT_TRUE(at::allclose(y.cpu().to(at::kFloat), cpu(x).to(at::kFloat), 2 * ulp, ulp));
    }
  }
}

TEST_F(OnDevice, DrawsTheCpusDropout) {
  const at::Tensor x = at::linspace(1, 2, 3000, at::kFloat).view({60, 50});
  for (const std::uint64_t key : {std::uint64_t{0}, ~std::uint64_t{0}, std::uint64_t{1} << 40}) {
    EXPECT_TRUE(at::equal(Dropped(x.to(device_), 0.3, key).cpu(), Dropped(x, 0.3, key)));
  }
}

/// Captions of 3 to 8 ids in three groups.
void GroupByLength(MicroBatch& batch) {
  const at::Tensor pool = batch.pool.cpu();
  std::vector<at::Tensor> order;
  std::int64_t before = 0;
  for (const std::int64_t length : {4, 6, 8}) {
    order.push_back(pool.ge(before).logical_and(pool.lt(length)).nonzero().view(-1));
    const std::int64_t rows = order.back().numel();
    if (rows > 0) batch.groups.groups.push_back({rows, length});
    before = length;
  }
  batch.groups.order = at::cat(order).to(batch.pool.device());
  batch.groups.places = at::argsort(at::cat(order)).to(batch.pool.device());
}

TEST_P(DevicePrecision, InGroupsByLengthEqualsTheCpuWithoutThem) {
  const auto comm = WorldOfOne();
  ModelConfig config = ThinModel("fastclip_v3");
  config.text.layers = 2;
  Rank cpu("fastclip_v3", {kLanes}, *comm, 0, GetParam(), config);
  Rank device("fastclip_v3", {kLanes}, *comm, 0, GetParam(), config, device_);
  device.table.MoveTo(device_);
  const double ulp = PrecisionOf(GetParam()).autocast ? 1.0 / 256 : 1e-6;
  for (std::int64_t step = 0; step < 2; ++step) {
    Rank::Part part = device.Micro(step, 2);
    for (MicroBatch& micro : part.micro) GroupByLength(micro);
    ASSERT_GT(part.micro.front().groups.groups.size(), 1u);
    under_test::ResetHostWaits();
    const StepReport report = device.RunOn(part, step), expected = cpu.Run(step, 2);
    ExpectHostWaits(1);
    EXPECT_NEAR(report.contrastive_loss, expected.contrastive_loss,
                8 * ulp * expected.contrastive_loss);
    EXPECT_NEAR(report.gradient_norm, expected.gradient_norm, 32 * ulp * expected.gradient_norm);
  }
}

TEST_F(OnDevice, StepOfAResNetEqualsTheCpus) {
  const auto comm = WorldOfOne();
  Rank cpu("fastclip_v3", {kLanes}, *comm, 0, "fp64", ThinResNet());
  Rank device("fastclip_v3", {kLanes}, *comm, 0, "fp64", ThinResNet(), device_);
  ExpectSameSteps(cpu, device);
}

TEST_F(OnDevice, StepIsTheSameInBothLayoutsOfImages) {
  const auto comm = WorldOfOne();
  for (const ModelConfig& config : {ThinModel("fastclip_v3"), ThinResNet()}) {
    Rank planes("fastclip_v3", {kLanes}, *comm, 0, "fp64", config, device_);
    Rank last("fastclip_v3", {kLanes}, *comm, 0, "fp64", config, device_);
    for (std::int64_t step = 0; step < 3; ++step) {
      Rank::Part part = last.Micro(step, 1);
      at::Tensor& images = part.micro.front().images;
      ASSERT_TRUE(images.is_contiguous());
      images = images.contiguous(at::MemoryFormat::ChannelsLast);
      EXPECT_NEAR(planes.Run(step).loss, last.RunOn(part, step).loss, 1e-9);
    }
    EXPECT_TRUE(at::allclose(planes.Weights(), last.Weights(), 0, 1e-9));
  }
}

TEST_P(DeviceStep, WithItsStateOnTheDeviceReadsOnceAndCopiesWithoutWaiting) {
  const auto comm = WorldOfOne();
  Rank cpu(GetParam(), {kLanes}, *comm, 0.5);
  Rank device(GetParam(), {kLanes}, *comm, 0.5, "fp64", {}, device_);
  device.table.MoveTo(device_);
  ExpectSameSteps(cpu, device);
  const auto micro = device.Micro(3, 1);
  under_test::ResetHostWaits();
  device.RunOn(micro, 3);
  ExpectHostWaits(1);
}

TEST_F(OnDevice, GetsABatchFromPinnedMemoryWithoutAWait) {
  AllocatorMemory pinned(under_test::PinnedMemory());
  const FakeSource source(64);
  const ByteTokenizer tokenizer;
  const OrderPlan plan({.size = 64, .batch_size = 24, .lanes = 2});
  LoaderOptions options;
  options.image_size = 8;
  options.context_length = 40;
  BatchLoader loader(source, plan, {0, 2}, 0, 1, tokenizer, options, {.memory = &pinned});
  const std::optional<Batch> batch = loader.Next();
  ASSERT_TRUE(batch);
  const PatchDropout half{.share = 0.5, .patches = 16, .seed = 1};
  const TensorTarget target{.device = device_, .length_groups = 4, .non_blocking = true};
  MicroBatchesOf(*batch, 1, target, half);  // the first makes the constants
  under_test::ResetHostWaits();
  const std::vector<MicroBatch> device = MicroBatchesOf(*batch, 3, target, half);
  const std::vector<MicroBatch> cpu = MicroBatchesOf(*batch, 3, {.length_groups = 4}, half);
  int grouped = 0;
  for (const MicroBatch& part : cpu) grouped += part.groups.groups.empty() ? 0 : 1;
  EXPECT_GT(grouped, 0);
  ExpectHostWaits(0, 3 * 4 + grouped);
  for (std::size_t i = 0; i < cpu.size(); ++i) {
    EXPECT_TRUE(at::equal(device[i].images.cpu(), cpu[i].images));
    EXPECT_TRUE(at::equal(device[i].tokens.cpu(), cpu[i].tokens));
    EXPECT_TRUE(at::equal(device[i].pool.cpu(), cpu[i].pool));
    EXPECT_TRUE(at::equal(device[i].kept_patches.cpu(), cpu[i].kept_patches));
    if (cpu[i].groups.groups.empty()) continue;
    EXPECT_TRUE(at::equal(device[i].groups.order.cpu(), cpu[i].groups.order));
    EXPECT_TRUE(at::equal(device[i].groups.places.cpu(), cpu[i].groups.places));
  }
}

// As the trainer does: the next batch is copied beside the step, and a batch goes with its report.
TEST_F(OnDevice, CopiesTheNextBatchOnAStreamOfItsOwn) {
  AllocatorMemory pinned(under_test::PinnedMemory());
  const FakeSource source(64);
  const ByteTokenizer tokenizer;
  ModelConfig config = ThinModel("fastclip_v1");
  config.text.context_length = 40;
  config.text.vocab_size = 512;
  LoaderOptions options;
  options.image_size = static_cast<int>(config.vision.image_size);
  options.context_length = 40;
  const auto comm = WorldOfOne();
  Rank cpu("fastclip_v1", {kLanes}, *comm, 0, "fp64", config);
  Rank device("fastclip_v1", {kLanes}, *comm, 0, "fp64", config, device_);
  device.table.MoveTo(device_);
  std::vector<double> losses[2];
  for (Rank* rank : {&cpu, &device}) {
    const bool on_cpu = rank == &cpu;
    const TensorTarget target{.device = rank->device,
                              .dtype = at::kDouble,
                              .length_groups = 3,
                              .non_blocking = true,
                              .copies = StreamForCopies(rank->device)};
    EXPECT_EQ(target.copies.has_value(), !on_cpu);
    BatchLoader loader(source, rank->plan, {0, kLanes}, 0, 4, tokenizer, options,
                       {.memory = &pinned, .held_batches = 2});
    std::optional<Batch> last;
    LateReport late;
    for (int step = 0; step < 4; ++step) {
      std::optional<Batch> batch = loader.Next();
      const std::vector<MicroBatch> micro = MicroBatchesOf(*batch, 2, target);
      LateReport report = rank->step.Enqueue({.micro = micro,
                                              .indices = batch->indices(),
                                              .epoch = step,
                                              .gamma = step == 0 ? 1.0 : 0.5,
                                              .rates = {1e-3, 1e-3}});
      if (late) losses[on_cpu ? 0 : 1].push_back(late().loss);
      late = std::move(report);
      last = std::move(batch);
    }
    losses[on_cpu ? 0 : 1].push_back(late().loss);
  }
  for (std::size_t step = 0; step < 4; ++step) EXPECT_NEAR(losses[0][step], losses[1][step], 1e-9);
  EXPECT_TRUE(at::allclose(cpu.Weights(), device.Weights(), 0, 1e-9));
}

TEST_F(OnDevice, EvaluatesAsTheCpu) {
  const ModelConfig config = SmallModel(/*context_length=*/20);
  const FakeSource source(13);
  std::vector<EncodedSet> sets;
  std::vector<std::vector<std::pair<std::string, double>>> metrics;
  for (const at::Device where : {at::Device(at::kCPU), device_}) {
    const ClipModel model(config, 7, 0.07, at::kDouble, {}, where);
    EncodeOptions options;
    options.batch_size = 4;
    options.target = {.device = where, .dtype = at::kDouble};
    sets.push_back(
        EncodeSet(model, source, SampleIndex{0}, SampleIndex{13}, ByteTokenizer(), options));
    const EncodedSet& set = sets.back();
    EXPECT_EQ(set.features.image.device(), where);
    metrics.push_back(NamedRetrieval(
        ComputeRetrieval(set.features.image, set.features.text, set.caption_row, /*tile=*/3)));
  }
  EXPECT_TRUE(at::allclose(sets[0].features.image, sets[1].features.image.cpu(), 1e-12, 1e-12));
  EXPECT_TRUE(at::allclose(sets[0].features.text, sets[1].features.text.cpu(), 1e-12, 1e-12));
  EXPECT_EQ(sets[0].caption_row, sets[1].caption_row);
  EXPECT_EQ(metrics[0], metrics[1]);
}

TEST_F(OnDevice, ClassifiesAsTheCpuZeroShotAndByALinearProbe) {
  const ModelConfig config = SmallModel(/*context_length=*/20);
  const FakeSource source(40);
  const ClassPrompts prompts{{"a cat", "a dog", "a cow"}, {"{c}", "a photo of {c}."}};
  std::vector<at::Tensor> class_weights, probes;
  std::vector<ClassMetrics> metrics, fitted;
  for (const at::Device where : {at::Device(at::kCPU), device_}) {
    const ClipModel model(config, 7, 0.07, at::kDouble, {}, where);
    EncodeOptions options;
    options.batch_size = 16;
    options.target = {.device = where, .dtype = at::kDouble};
    class_weights.push_back(ClassWeights(model, ByteTokenizer(), prompts, options));
    EXPECT_EQ(class_weights.back().device(), where);
    const EncodedSet set =
        EncodeSet(model, source, SampleIndex{0}, SampleIndex{40}, ByteTokenizer(), options);
    std::vector<std::int64_t> labels;
    for (const std::int64_t index : set.indices) labels.push_back(index % 3);
    ClassHits zero_shot(3), linear(3);
    zero_shot.Add(set.features.image, class_weights.back(), {}, labels, set.indices);
    metrics.push_back(zero_shot.Metrics());
    const L2Search search = ChooseL2(set.features.image, labels, set.indices, 3);
    const LinearClassifier classifier =
        FitLinear(set.features.image, labels, 3, search.l2).classifier;
    EXPECT_EQ(classifier.weights.device(), where);
    linear.Add(set.features.image, classifier.weights, classifier.bias, labels, set.indices);
    fitted.push_back(linear.Metrics());
    probes.push_back(classifier.weights.cpu());
  }
  EXPECT_TRUE(at::allclose(class_weights[0], class_weights[1].cpu(), 1e-12, 1e-12));
  EXPECT_EQ(metrics[0].top_1, metrics[1].top_1);
  EXPECT_TRUE(at::allclose(probes[0], probes[1], 1e-6, 1e-6));
  EXPECT_EQ(fitted[0].top_1, fitted[1].top_1);
}

TEST_F(OnDevice, ResumesFromItsFilesAsIfItHadGoneOn) {
  const auto comm = WorldOfOne();
  const TemporaryFolder folder;
  const auto make = [&] {
    auto rank = std::make_unique<Rank>("fastclip_v1", std::vector<std::int64_t>{kLanes}, *comm, 0,
                                       "fp32", std::nullopt, device_);
    return rank;
  };
  const auto whole = make(), first = make();
  whole->table.MoveTo(device_);
  first->table.MoveTo(device_);
  for (std::int64_t step = 0; step < 4; ++step) whole->Run(step);
  for (std::int64_t step = 0; step < 2; ++step) first->Run(step);
  WriteSafetensors(folder / "model.safetensors", first->model.parameters());
  WriteSafetensors(folder / "optimizer.safetensors", first->optimizer->state());
  WriteSafetensors(folder / "state.safetensors", {{"state", first->table.values()}});

  const auto second = make();
  second->model.Load(ReadSafetensors(folder / "model.safetensors").tensors, "model");
  second->optimizer->LoadState(ReadSafetensors(folder / "optimizer.safetensors").tensors,
                               "optimizer");
  second->table.values().copy_(ReadSafetensors(folder / "state.safetensors").tensors[0].second);
  second->table.MoveTo(device_);
  for (std::int64_t step = 2; step < 4; ++step) second->Run(step);
  const double apart = under_test::repeat_tolerance();
  EXPECT_TRUE(at::allclose(second->Weights(), whole->Weights(), apart, apart));
  EXPECT_TRUE(
      at::allclose(second->table.values().cpu(), whole->table.values().cpu(), apart, apart));
}

TEST_F(OnDevice, TableKeepsTheLastOfEqualRecords) {
  const OrderPlan plan(
      {.size = 64, .batch_size = 8, .lanes = 8, .chunk = 1, .window = 8, .seed = 3});
  for (const at::Device where : {at::Device(at::kCPU), device_}) {
    SampleTable table(plan, plan.LanesOf(0, std::vector<std::int64_t>{8}), {"u"}, {-1}, at::kFloat);
    table.MoveTo(where);
    const std::vector<std::int64_t> records = {5, 9, 5, 7};
    const at::Tensor values = at::arange(4, at::kFloat).view({4, 1}).to(where);
    const SampleTable::Rows rows = table.Find(records);
    table.Write(rows, values);
    EXPECT_TRUE(at::equal(table.Read(rows).cpu().flatten(), at::tensor({2.0F, 1.0F, 2.0F, 3.0F})));
    EXPECT_EQ(table.values().size(0), 64);
  }
}

}  // namespace
}  // namespace fastclip

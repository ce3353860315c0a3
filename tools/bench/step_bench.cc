#include "tools/bench/step_bench.h"

#include <ATen/ATen.h>
#include <ATen/DeviceAccelerator.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <deque>
#include <fstream>
#include <map>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "pipeline/files/output_file.h"
#include "tools/cli/measure.h"
#include "trainer/adapt/s2ft.h"
#include "trainer/state/safetensors.h"
#include "trainer/step/batch_tensors.h"
#include "trainer/step/pinned_memory.h"

namespace fastclip {
namespace {

// Start, words, end, zeros. Real captions are mostly 17 to 22 ids long, one in ten is shorter, one
// in ten longer; full ones fill the context, so that nothing can be trimmed.
BenchCaptions MakeCaptions(const ModelConfig& config, std::int64_t rows, bool full,
                           CounterRandom& random, std::pmr::memory_resource* memory) {
  const std::int64_t context = config.text.context_length;
  const auto vocabulary = static_cast<TokenId>(config.text.vocab_size);
  BenchCaptions made{std::pmr::vector<TokenId>(static_cast<std::size_t>(rows * context), memory),
                     std::pmr::vector<std::int64_t>(memory)};
  const auto between = [&](std::uint64_t least, std::uint64_t most) {
    return static_cast<std::int64_t>(least + random.Below(most - least + 1));
  };
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::uint64_t kind = random.Below(10);
    const std::int64_t real = kind == 0   ? between(8, 16)
                              : kind == 1 ? between(23, 32)
                                          : between(17, 22);
    const std::int64_t length = full ? context : std::min(real, context);
    TokenId* caption = made.tokens.data() + row * context;
    for (std::int64_t i = 1; i + 1 < length; ++i)
      caption[i] = static_cast<TokenId>(1 + random.Below(vocabulary - 3));
    caption[0] = vocabulary - 2;
    caption[length - 1] = vocabulary - 1;  // the highest id: where OpenCLIP looks for the end
    made.pool.push_back(length - 1);
  }
  return made;
}

// Rows drawn from the lines of a file.
BenchCaptions ReadCaptions(const std::string& path, const Tokenizer& tokenizer,
                           const ModelConfig& config, std::int64_t rows, CounterRandom& random,
                           std::pmr::memory_resource* memory) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty()) lines.push_back(line);
  }
  if (lines.empty()) throw std::runtime_error(path + ": no captions; put one on each line");
  const auto context = static_cast<std::size_t>(config.text.context_length);
  BenchCaptions read{std::pmr::vector<TokenId>(static_cast<std::size_t>(rows) * context, memory),
                     std::pmr::vector<std::int64_t>(memory)};
  for (std::size_t row = 0; row < static_cast<std::size_t>(rows); ++row) {
    read.pool.push_back(EncodeContext(tokenizer, lines[random.Below(lines.size())],
                                      std::span(read.tokens).subspan(row * context, context)));
  }
  return read;
}

/// The most that tensors on the GPU have taken since the start of the process; 0 on the CPU.
double GpuPeakMb(at::Device device) {
  if (!device.is_cuda()) return 0;
  constexpr auto kAll = static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  const auto stats = at::getDeviceAllocator(device.type())->getDeviceStats(device.index());
  return 1e-6 * static_cast<double>(stats.allocated_bytes.at(kAll).peak);
}

double Mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

void CountText(const MicroBatch& part, StepTiming& timing) {
  for (const SequenceGroup& group : part.groups.groups) timing.text_tokens += group.places();
  if (part.labels.defined()) return;
  if (part.groups.groups.empty()) timing.text_tokens += part.tokens.numel();
  timing.text_groups =
      std::max<std::size_t>({timing.text_groups, part.groups.groups.size(), std::size_t{1}});
}

}  // namespace

StepBench::StepBench(const TrainConfig& config, const ModelConfig& model, double start_mb,
                     at::Device device, std::int64_t classes, const std::string& captions)
    : config_(config),
      start_mb_(start_mb),
      device_(device),
      copies_(StreamForCopies(device)),
      model_config_(model),
      rows_(config.train.batch_size),
      plan_({.size = 64 * rows_, .batch_size = rows_, .lanes = 1}),
      comm_(WorldOfOne()),
      learner_(config, model_config_, plan_, {0, 1}, {rows_}, *comm_, device, classes),
      random_(1),
      classes_(classes),
      pixels_(static_cast<std::size_t>(rows_ * model_config_.vision.image_size *
                                       model_config_.vision.image_size * 3),
              BatchMemory(device)),
      real_(captions.empty()
                ? MakeCaptions(model_config_, rows_, false, random_, BatchMemory(device))
                : ReadCaptions(captions, *OpenTokenizer(config.data.tokenizer), model_config_,
                               rows_, random_, BatchMemory(device))),
      full_(MakeCaptions(model_config_, rows_, true, random_, BatchMemory(device))) {
  const auto state = static_cast<double>(learner_.table.values().nbytes());
  if (!device.is_cpu() && !learner_.table.columns().empty() &&
      SampleTable::BelongsOnDevice(config.train.state, state)) {
    learner_.table.MoveTo(device, copies_);
  }
  for (std::uint8_t& pixel : pixels_) pixel = static_cast<std::uint8_t>(random_.Next());
  // Which columns S²FT trains does not change its speed, so the first choice will do.
  std::map<std::string, at::Tensor> columns;
  for (const SelectedColumns& of : SelectedColumnsOf(learner_.model)) {
    columns[of.site] = of.index.clone();
  }
  MoveColumns(learner_.model, columns);
}

StepTiming StepBench::Time(const BenchCaptions& captions, double seconds) {
  const bool on_gpu = !device_.is_cpu();
  // They allocate what the others find; a GPU's also choose kernels, and the last may be recorded.
  const std::int64_t first_ones = on_gpu ? RecordedStep::kWarmUp + 1 : 1;
  const std::size_t unsettled = learner_.reads_late() ? 1 : 0;
  std::vector<std::int64_t> indices(static_cast<std::size_t>(rows_));
  std::deque<LateReport> enqueued;
  std::vector<double> wall, core;
  StepTiming timing;
  double wall_begin = 0, core_begin = 0;
  const auto settle = [&](std::size_t left) {
    for (; enqueued.size() > left; enqueued.pop_front()) {
      enqueued.front()();
      // The next one begins here, if it is under way.
      const double before = std::exchange(wall_begin, SecondsOf(CLOCK_MONOTONIC)),
                   core_before = std::exchange(core_begin, SecondsOf(CLOCK_PROCESS_CPUTIME_ID));
      wall.push_back(wall_begin - before);
      core.push_back(core_begin - core_before);
    }
  };
  double begin = SecondsOf(CLOCK_MONOTONIC);
  for (std::int64_t step = 0; step < first_ones + 2 || SecondsOf(CLOCK_MONOTONIC) - begin < seconds;
       ++step) {
    if (on_gpu && step == first_ones) begin = SecondsOf(CLOCK_MONOTONIC);
    std::iota(indices.begin(), indices.end(), step % 64 * rows_);
    if (enqueued.empty()) {
      wall_begin = SecondsOf(CLOCK_MONOTONIC), core_begin = SecondsOf(CLOCK_PROCESS_CPUTIME_ID);
    }
    const std::vector<MicroBatch> micro = MakeMicro(captions, indices);
    enqueued.push_back(
        learner_.step.Enqueue({.micro = micro,
                               .indices = indices,
                               .epoch = 1,
                               .gamma = config_.gamma.min,
                               .rates = {config_.learning_rate.lr, config_.learning_rate.lr}}));
    settle(unsettled);
    timing.text_tokens = 0;
    for (const MicroBatch& part : micro) CountText(part, timing);
  }
  settle(0);
  wall.erase(wall.begin(), wall.begin() + first_ones);
  core.erase(core.begin(), core.begin() + first_ones);
  timing.step_seconds = on_gpu ? Mean(wall) : Quantile(wall, 0.5);
  timing.core_seconds = on_gpu ? Mean(core) : Quantile(core, 0.5);
  timing.peak_mb = MemoryMb("VmHWM") - start_mb_;
  timing.gpu_peak_mb = GpuPeakMb(device_);
  timing.seconds = std::move(wall);
  return timing;
}

at::ScalarType StepBench::ParameterType() const {
  return PrecisionOf(config_.train.precision).parameters;
}

void StepBench::WriteInputs(const std::string& path, const std::string& setup) {
  const TensorTarget whole{.device = device_, .dtype = ParameterType(), .trim_text = false};
  const at::Tensor images = ImageTensor(pixels_, rows_, model_config_.vision.image_size, whole);
  const auto tensors_of = [&](const BenchCaptions& captions) {
    return CaptionsOf(captions.tokens, captions.pool, model_config_.text.context_length, whole);
  };
  const CaptionTensors real = tensors_of(real_);
  const at::NoGradGuard no_grad;
  NamedTensors tensors = {{"images", images},
                          {"tokens/real", real.tokens},
                          {"tokens/full", tensors_of(full_).tokens},
                          {"image_features", learner_.model.EncodeImage(images)},
                          {"text_features", learner_.model.EncodeText(real.tokens, real.pool)}};
  for (const NamedTensors* list : {&learner_.model.parameters(), &learner_.model.buffers()}) {
    for (const auto& [name, tensor] : *list) tensors.emplace_back("weight/" + name, tensor);
  }
  const OutputKind kind = {"a file of inputs", [](std::string_view head) {
                             return head.find("\"setup\"") != head.npos;
                           }};
  WriteSafetensors(CheckOutputPath(path, kind), tensors, {{"setup", setup}});
}

std::vector<MicroBatch> StepBench::MakeMicro(const BenchCaptions& captions,
                                             std::span<const std::int64_t> indices) const {
  // What is copied lives as long as this, or as the step's report.
  const TensorTarget target{.device = device_,
                            .dtype = ParameterType(),
                            .trim_text = config_.model.trim_text,
                            .length_groups = config_.train.length_groups,
                            .channels_last = config_.train.channels_last,
                            .non_blocking = true,
                            .copies = copies_};
  const std::int64_t size = model_config_.vision.image_size,
                     context = model_config_.text.context_length;
  const std::int64_t count = config_.train.micro_batches;
  std::vector<MicroBatch> micro;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t first = rows_ * i / count, rows = rows_ * (i + 1) / count - first;
    const auto part = [&](auto& values, std::int64_t each) {
      return std::span(values).subspan(static_cast<std::size_t>(first * each),
                                       static_cast<std::size_t>(rows * each));
    };
    CaptionTensors text;
    at::Tensor labels;
    if (classes_ > 0) {
      labels = at::arange(first, first + rows, at::TensorOptions(at::kLong).device(device_))
                   .remainder_(classes_);
    } else {
      text = CaptionsOf(part(captions.tokens, context), part(captions.pool, 1), context, target);
    }
    const at::Tensor kept = Pinned(KeptPatches(part(indices, 1), /*epoch=*/1,
                                               {.share = config_.model.patch_dropout,
                                                .patches = model_config_.vision.patches(),
                                                .seed = config_.train.seed}),
                                   target);
    micro.push_back({ImageTensor(part(pixels_, size * size * 3), rows, size, target), text.tokens,
                     text.pool, Uploaded(kept, target), kept, text.groups, text.groups_host,
                     labels});
  }
  return micro;
}

MicroBatch StepBench::Inputs(const BenchCaptions& captions) const {
  std::vector<std::int64_t> indices(static_cast<std::size_t>(rows_));
  std::iota(indices.begin(), indices.end(), 0);
  return MakeMicro(captions, indices).front();
}

}  // namespace fastclip

#include "tools/bench/bench_step.h"

#include <ATen/ATen.h>
#include <ATen/DeviceAccelerator.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <memory_resource>
#include <nlohmann/json.hpp>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/cuda_library.h"
#include "pipeline/base/counter_random.h"
#include "pipeline/base/printable.h"
#include "pipeline/files/output_file.h"
#include "tokenizer/tokenizer.h"
#include "tools/cli/cli.h"
#include "tools/cli/measure.h"
#include "trainer/base/kernels.h"
#include "trainer/config/config.h"
#include "trainer/model/presets.h"
#include "trainer/run/run_setup.h"
#include "trainer/state/safetensors.h"
#include "trainer/step/batch_tensors.h"
#include "trainer/step/learner.h"
#include "trainer/step/pinned_memory.h"

namespace fastclip {
namespace {

struct Captions {
  std::pmr::vector<TokenId> tokens;     // [rows, context]
  std::pmr::vector<std::int64_t> pool;  // [rows]
};

// Start, words, end, zeros. Real captions are mostly 17 to 22 ids long, one in ten is shorter, one
// in ten longer; full ones fill the context, so that nothing can be trimmed.
Captions MakeCaptions(const ModelConfig& config, std::int64_t rows, bool full,
                      CounterRandom& random, std::pmr::memory_resource* memory) {
  const std::int64_t context = config.text.context_length;
  const auto vocabulary = static_cast<TokenId>(config.text.vocab_size);
  Captions made{std::pmr::vector<TokenId>(static_cast<std::size_t>(rows * context), memory),
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
Captions ReadCaptions(const std::string& path, const Tokenizer& tokenizer,
                      const ModelConfig& config, std::int64_t rows, CounterRandom& random,
                      std::pmr::memory_resource* memory) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty()) lines.push_back(line);
  }
  if (lines.empty()) throw std::runtime_error(path + ": no captions; give a file with one a line");
  const auto context = static_cast<std::size_t>(config.text.context_length);
  Captions read{std::pmr::vector<TokenId>(static_cast<std::size_t>(rows) * context, memory),
                std::pmr::vector<std::int64_t>(memory)};
  for (std::size_t row = 0; row < static_cast<std::size_t>(rows); ++row) {
    read.pool.push_back(EncodeContext(tokenizer, lines[random.Below(lines.size())],
                                      std::span(read.tokens).subspan(row * context, context)));
  }
  return read;
}

struct Timing {
  std::int64_t text_tokens = 0;  // computed in a step, padding included
  std::size_t text_groups = 0;
  double step_seconds = 0;
  double core_seconds = 0;
  double peak_mb = 0;
  double gpu_peak_mb = 0;
};

/// The most that tensors on the GPU have taken since the start of the process; 0 on the CPU.
double GpuPeakMb(at::Device device) {
  if (!device.is_cuda()) return 0;
  constexpr auto kAll = static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  const auto stats = at::getDeviceAllocator(device.type())->getDeviceStats(device.index());
  return 1e-6 * static_cast<double>(stats.allocated_bytes.at(kAll).peak);
}

class StepBench {
 public:
  /// `captions`: a file of real ones; empty: made up.
  StepBench(const TrainConfig& config, const ModelConfig& model, double start_mb, at::Device device,
            const std::string& captions = {})
      : config_(config),
        start_mb_(start_mb),
        device_(device),
        model_config_(model),
        rows_(config.train.batch_size),
        plan_({.size = 64 * rows_, .batch_size = rows_, .lanes = 1}),
        comm_(WorldOfOne()),
        learner_(config, model_config_, plan_, {0, 1}, {rows_}, *comm_, device),
        random_(1),
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
      learner_.table.MoveTo(device);
    }
    for (std::uint8_t& pixel : pixels_) pixel = static_cast<std::uint8_t>(random_.Next());
  }

  const ModelConfig& model_config() const { return model_config_; }
  const Captions& real() const { return real_; }
  const Captions& full() const { return full_; }

  Timing Time(const Captions& captions, double seconds) {
    std::vector<std::int64_t> indices(static_cast<std::size_t>(rows_));
    std::vector<double> wall, core;
    Timing timing;
    const double begin = SecondsOf(CLOCK_MONOTONIC);
    // The first step allocates what the others find.
    while (wall.size() < 3 || SecondsOf(CLOCK_MONOTONIC) - begin < seconds) {
      const std::int64_t first = static_cast<std::int64_t>(wall.size()) % 64 * rows_;
      std::iota(indices.begin(), indices.end(), first);
      const double wall_begin = SecondsOf(CLOCK_MONOTONIC),
                   core_begin = SecondsOf(CLOCK_PROCESS_CPUTIME_ID);
      const std::vector<MicroBatch> micro = MakeMicro(captions, indices);
      learner_.step.Run({.micro = micro,
                         .indices = indices,
                         .epoch = 1,
                         .gamma = config_.gamma.min,
                         .rates = {config_.learning_rate.lr, config_.learning_rate.lr}});
      wall.push_back(SecondsOf(CLOCK_MONOTONIC) - wall_begin);
      core.push_back(SecondsOf(CLOCK_PROCESS_CPUTIME_ID) - core_begin);
      timing.text_tokens = 0;
      for (const MicroBatch& part : micro) CountText(part, timing);
    }
    wall.erase(wall.begin()), core.erase(core.begin());
    timing.step_seconds = Quantile(wall, 0.5);
    timing.core_seconds = Quantile(core, 0.5);
    timing.peak_mb = MemoryMb("VmHWM") - start_mb_;
    timing.gpu_peak_mb = GpuPeakMb(device_);
    return timing;
  }

  // What a peer needs to do the same steps, and our features of the real captions to check it by.
  void WriteInputs(const std::string& path, const std::string& setup) {
    const TensorTarget whole{.device = device_, .dtype = ParameterType(), .trim_text = false};
    const at::Tensor images = ImageTensor(pixels_, rows_, model_config_.vision.image_size, whole);
    const auto tensors_of = [&](const Captions& captions) {
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

 private:
  static void CountText(const MicroBatch& part, Timing& timing) {
    for (const SequenceGroup& group : part.groups.groups) timing.text_tokens += group.places();
    if (part.groups.groups.empty()) timing.text_tokens += part.tokens.numel();
    timing.text_groups =
        std::max<std::size_t>({timing.text_groups, part.groups.groups.size(), std::size_t{1}});
  }

  at::ScalarType ParameterType() const { return PrecisionOf(config_.train.precision).parameters; }

  std::vector<MicroBatch> MakeMicro(const Captions& captions,
                                    std::span<const std::int64_t> indices) const {
    // The step ends with a read, and what is copied lives longer.
    const TensorTarget target{.device = device_,
                              .dtype = ParameterType(),
                              .trim_text = config_.model.trim_text,
                              .length_groups = config_.train.length_groups,
                              .channels_last = config_.train.channels_last,
                              .non_blocking = true};
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
      CaptionTensors text =
          CaptionsOf(part(captions.tokens, context), part(captions.pool, 1), context, target);
      const at::Tensor kept = KeptPatches(part(indices, 1), /*epoch=*/1,
                                          {.share = config_.model.patch_dropout,
                                           .patches = model_config_.vision.patches(),
                                           .seed = config_.train.seed});
      micro.push_back({ImageTensor(part(pixels_, size * size * 3), rows, size, target), text.tokens,
                       text.pool, Uploaded(kept, target), kept, text.groups,
                       text.groups_host});
    }
    return micro;
  }

  const TrainConfig& config_;
  double start_mb_;
  at::Device device_;
  ModelConfig model_config_;
  std::int64_t rows_;
  OrderPlan plan_;
  std::unique_ptr<Communicator> comm_;
  Learner learner_;
  CounterRandom random_;
  std::pmr::vector<std::uint8_t> pixels_;
  Captions real_, full_;
};

nlohmann::ordered_json JsonOf(const Timing& timing, std::int64_t rows) {
  const auto samples = static_cast<double>(rows);
  nlohmann::ordered_json json{{"samples_per_second", samples / timing.step_seconds},
                              {"samples_per_core_second", samples / timing.core_seconds},
                              {"step_ms", 1000 * timing.step_seconds},
                              {"text_tokens", timing.text_tokens},
                              {"text_groups", timing.text_groups},
                              {"peak_mb", timing.peak_mb}};
  if (timing.gpu_peak_mb > 0) json["gpu_peak_mb"] = timing.gpu_peak_mb;
  return json;
}

std::string SetupOf(const TrainConfig& config, const ModelConfig& model, double seconds) {
  const OptimizerOptions& optimizer = config.optimizer;
  return nlohmann::ordered_json{{"model", nlohmann::ordered_json::parse(OpenClipJson(model))},
                                {"threads", at::get_num_threads()},
                                {"precision", config.train.precision},
                                {"seconds", seconds},
                                {"optimizer",
                                 {{"lr", config.learning_rate.lr},
                                  {"beta1", optimizer.beta1},
                                  {"beta2", optimizer.beta2},
                                  {"eps", optimizer.eps},
                                  {"weight_decay", optimizer.weight_decay}}}}
      .dump();
}

void Print(const nlohmann::ordered_json& json) {
  fmt::print("{} steps of batch {}, {}, {}, {}\n", json["model"].get<std::string>(),
             json["batch_size"].get<std::int64_t>(), json["objective"].get<std::string>(),
             json["device"].get<std::string>(), Counted(json["threads"].get<int>(), "thread"));
  for (const char* length : {"real", "full"}) {
    const auto& timing = json[length];
    fmt::print(
        "  captions of {} length  {:8.1f} samples/s  {:8.1f} ms per step  {:7.0f} MB above the "
        "start  {} text tokens in {}\n",
        length, timing["samples_per_second"].get<double>(), timing["step_ms"].get<double>(),
        timing["peak_mb"].get<double>(), timing["text_tokens"].get<std::int64_t>(),
        Counted(timing["text_groups"].get<std::int64_t>(), "group"));
  }
}

}  // namespace

double MeasureStep(const LoadedConfig& config, std::int64_t rows, double seconds,
                   c10::Device device) {
  TrainConfig share = *config;
  share.train.batch_size = rows;
  if (share.train.threads > 0) at::set_num_threads(share.train.threads);
  UseKernels(config->train.kernels);
  StepBench bench(share, ModelOf(config), /*start_mb=*/0, device);
  return bench.Time(bench.real(), seconds).step_seconds;
}

/// `fastclip bench step CONFIG …`: complete training steps of a config on synthetic images and
/// captions.
int RunBenchStep(int argc, const char* const* argv) {
  const double start_mb = MemoryMb("VmRSS");
  std::string path, inputs, captions;
  std::vector<std::string> overrides;
  double seconds = 10;
  bool json = false;
  CLI::App app(
      "Measures complete training steps of a config on its device, with synthetic data.\n"
      "A step is towers, objective, backward and optimizer. It is measured with captions of real\n"
      "length (mostly 17 to 22 tokens) and of full length, where trimming gains nothing.\n"
      "Memory is the peak above the start of the process; on a GPU also that of its tensors.",
      "fastclip bench step");
  app.add_option("CONFIG", path, kConfigHelp)->required();
  app.add_option("OVERRIDES", overrides, kOverridesHelp);
  app.add_option("--seconds", seconds, "seconds to measure each length, at least two steps")
      ->capture_default_str();
  app.add_option("--captions", captions,
                 "text file with a caption a line, from which those of real length are drawn");
  app.add_option(
      "--inputs", inputs,
      "write weights and inputs to this .safetensors file, to run the same steps elsewhere");
  app.add_flag("--json", json, kJsonHelp);
  app.footer("example: fastclip bench step configs/quickstart.toml train.batch_size=256 --json");
  if (!ParseArguments(app, argc, argv)) return 0;
  const LoadedConfig config(path, overrides, {.choose_device = [] { return ChooseDevice(); }});
  const at::Device device = OpenDevice(config->train.device, "train.device = \"cuda\"");
  if (config->train.threads > 0) at::set_num_threads(config->train.threads);
  UseKernels(config->train.kernels);
  StepBench bench(*config, ModelOf(config), start_mb, device, captions);
  if (!inputs.empty()) bench.WriteInputs(inputs, SetupOf(*config, bench.model_config(), seconds));
  // Shorter captions first: the peak only grows.
  const Timing real = bench.Time(bench.real(), seconds), full = bench.Time(bench.full(), seconds);
  const nlohmann::ordered_json result{{"model", bench.model_config().name},
                                      {"batch_size", config->train.batch_size},
                                      {"objective", config->objective.name},
                                      {"precision", config->train.precision},
                                      {"device", config->train.device},
                                      {"threads", at::get_num_threads()},
                                      {"real", JsonOf(real, config->train.batch_size)},
                                      {"full", JsonOf(full, config->train.batch_size)}};
  json ? fmt::print("{}\n", result.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace))
       : Print(result);
  return 0;
}

}  // namespace fastclip

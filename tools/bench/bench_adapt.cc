#include <ATen/ATen.h>
#include <ATen/DeviceAccelerator.h>
#include <ATen/Parallel.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "comm/cuda_library.h"
#include "pipeline/base/printable.h"
#include "tools/bench/adapter_serving.h"
#include "tools/bench/step_bench.h"
#include "tools/cli/cli.h"
#include "tools/cli/measure.h"
#include "tools/cli/tell.h"
#include "trainer/base/kernels.h"
#include "trainer/base/precision.h"
#include "trainer/model/autocast.h"
#include "trainer/model/presets.h"
#include "trainer/run/run_setup.h"
#include "trainer/step/live_bytes.h"

namespace fastclip {
namespace {

using Json = nlohmann::ordered_json;

struct Mode {
  std::string name;
  std::vector<std::string> tuners;
};

/// The recipe of the config, what it is compared with, and one of each kind.
std::vector<Mode> ModesOf(const TrainConfig& config, bool kinds) {
  // A run on labels has no text tower.
  const std::string all = config.adapt.classifies() ? "image" : "*";
  const std::string towers = config.adapt.classifies() ? "image" : "{image,text}";
  std::vector<Mode> modes;
  if (!config.adapt.tuners.empty()) modes.push_back({"recipe", config.adapt.tuners});
  modes.push_back({"full", {"full " + towers}});
  modes.push_back({"lora", {"lora " + all + ".block.*.{q,k,v,o,fc1,fc2}"}});
  if (!kinds) return modes;
  const std::vector<Mode> more = {
      {"lora q v", {"lora " + all + ".block.*.{q,v}"}},
      {"s2ft", {"s2ft " + all + ".block.*.{o,fc2}"}},
      {"bitfit", {"bitfit " + towers}},
      {"adapter", {"adapter " + all + ".block.*.ffn"}},
      {"prefix", {"prefix " + all + ".block.*.mha"}},
      {"prompt_shallow", {"prompt_shallow image"}},
      {"prompt_deep", {"prompt_deep image"}},
      {"p_adapter", {"p_adapter " + all + ".block.*.mha"}},
      {"p_prefix", {"p_prefix " + all + ".block.*.mha"}},
      {"p_prompt", {"p_prompt " + all + ".block.*.mha"}},
      {"p_lora", {"p_lora " + all + ".block.*.mha"}},
      {"u_tuning dual", {"p_adapter " + all + ".block.*.{mha,ffn}"}},
      {"u_tuning tri",
       {"p_adapter " + all + ".block.*.{mha,ffn}",
        "p_prefix " + all + ".block.*.block lp=4 scale=none"}},
  };
  modes.insert(modes.end(), more.begin(), more.end());
  return modes;
}

/// Tensor memory since it was made, on the CPU or a GPU.
class TensorMemory {
 public:
  explicit TensorMemory(at::Device device) : device_(device) {
    if (device.is_cpu()) {
      guard_.emplace(c10::DebugInfoKind::PROFILER_STATE, live_);
    } else {
      allocator()->resetPeakStats(device.index());
      start_ = Stat().current;
    }
  }
  double peak() const {
    return static_cast<double>(device_.is_cpu() ? live_->peak() : Stat().peak - start_);
  }
  double now() const {
    return static_cast<double>(device_.is_cpu() ? live_->value() : Stat().current - start_);
  }

 private:
  c10::DeviceAllocator* allocator() const { return at::getDeviceAllocator(device_.type()); }
  c10::CachingAllocator::Stat Stat() const {
    constexpr auto kAll = static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    return allocator()->getDeviceStats(device_.index()).allocated_bytes.at(kAll);
  }

  at::Device device_;
  std::shared_ptr<LiveBytes> live_ = std::make_shared<LiveBytes>();
  std::optional<c10::DebugInfoGuard> guard_;
  std::int64_t start_ = 0;
};

/// What was measured of a mode, over all rounds.
struct Measured {
  std::vector<double> seconds;
  double peak = 0;                       // bytes of tensors, weights and optimizer state included
  std::int64_t trainable = 0;            // elements
  double reduced = 0;                    // bytes that a step sums over ranks
  double image_held = 0, text_held = 0;  // bytes that a block keeps for the backward pass
};

/// Bytes that are held after a tower's forward pass in training, by each of its blocks.
template <class Encode>
double HeldPerBlock(std::int64_t blocks, at::Device device, const Encode& encode) {
  if (blocks == 0) return 0;
  const TensorMemory memory(device);
  const at::Tensor features = encode();
  return (memory.now() - static_cast<double>(features.nbytes())) / static_cast<double>(blocks);
}

void MeasureMode(const TrainConfig& config, const ModelConfig& model, std::int64_t classes,
                 at::Device device, double seconds, Measured& measured) {
  std::optional<TensorMemory> memory(device);
  StepBench bench(config, model, /*start_mb=*/0, device, classes);
  const StepTiming timing = bench.Time(bench.real(), seconds);
  measured.seconds.insert(measured.seconds.end(), timing.seconds.begin(), timing.seconds.end());
  measured.peak = std::max(measured.peak, memory->peak());
  memory.reset();
  measured.trainable = 0, measured.reduced = 0;
  for (const auto& [name, tensor] : bench.model().trainable()) {
    measured.trainable += tensor.numel();
    measured.reduced += static_cast<double>(tensor.nbytes());
  }
  const MicroBatch inputs = bench.Inputs(bench.real());
  const std::optional<at::ScalarType> type =
      PrecisionOf(config.train.precision, config.train.residual).autocast;
  const std::int64_t image_blocks = model.vision.is_resnet() ? 0 : model.vision.layers;
  measured.image_held = HeldPerBlock(image_blocks, device, [&] {
    const AutocastGuard autocast(device.type(), type);
    return bench.model().EncodeImage(inputs.images, TowerMode::kTrainAgain, inputs.kept_patches);
  });
  if (classes > 0) return;  // without captions
  measured.text_held = HeldPerBlock(model.text.layers, device, [&] {
    const AutocastGuard autocast(device.type(), type);
    return bench.model().EncodeText(inputs.tokens, inputs.pool, inputs.groups);
  });
}

Json JsonOf(const Mode& mode, const Measured& measured, double full_seconds) {
  const double step = Quantile(measured.seconds, 0.5);
  return {{"name", mode.name},
          {"recipe", mode.tuners},
          {"step_ms", 1000 * step},
          {"steps", measured.seconds.size()},
          {"faster_than_full", full_seconds / step},
          {"peak_mb", 1e-6 * measured.peak},
          {"trainable", measured.trainable},
          {"reduced_mb", 1e-6 * measured.reduced},
          {"image_held_mb_per_block", 1e-6 * measured.image_held},
          {"text_held_mb_per_block", 1e-6 * measured.text_held}};
}

Json JsonOf(const ServingTimes& times) {
  return {{"map", {times.out, times.in}},
          {"s2ft_columns", times.columns},
          {"lora_rank", times.rank},
          {"switch_us", {{"s2ft", times.s2ft_switch}, {"lora", times.lora_switch}}},
          {"rows", times.rows},
          {"four_adapters_us",
           {{"s2ft", times.s2ft_rows}, {"lora", times.lora_rows}, {"none", times.plain_rows}}}};
}

void Print(const Json& json) {
  fmt::print("{} steps of batch {}, {}, {}, {}, in turn\n", json["model"].get<std::string>(),
             json["batch_size"].get<std::int64_t>(), json["precision"].get<std::string>(),
             json["device"].get<std::string>(), Counted(json["threads"].get<int>(), "thread"));
  fmt::print("{:15} {:>12} {:>9} {:>10} {:>12} {:>12} {:>18}\n", "", "ms per step", "of full",
             "peak MB", "trainable", "summed MB", "held MB per block");
  for (const Json& mode : json["modes"]) {
    if (mode.contains("refused")) {
      fmt::print("{:15} {}\n", mode["name"].get<std::string>(),
                 Printable(mode["refused"].get<std::string>()));
      continue;
    }
    fmt::print("{:15} {:12.1f} {:8.2f}x {:10.0f} {:12} {:12.1f} {:8.2f} {:9.2f}\n",
               mode["name"].get<std::string>(), mode["step_ms"].get<double>(),
               mode["faster_than_full"].get<double>(), mode["peak_mb"].get<double>(),
               mode["trainable"].get<std::int64_t>(), mode["reduced_mb"].get<double>(),
               mode["image_held_mb_per_block"].get<double>(),
               mode["text_held_mb_per_block"].get<double>());
  }
  const Json& serving = json["serving"];
  fmt::print(
      "serving a linear layer of {} x {}, µs\n"
      "  switch of adapters      s2ft of {} columns {:.0f}, lora of rank {} {:.0f}\n"
      "  {} rows, 4 adapters   s2ft {:.0f}, lora {:.0f}, without adapters {:.0f}\n",
      serving["map"][0].get<std::int64_t>(), serving["map"][1].get<std::int64_t>(),
      serving["s2ft_columns"].get<std::int64_t>(), serving["switch_us"]["s2ft"].get<double>(),
      serving["lora_rank"].get<std::int64_t>(), serving["switch_us"]["lora"].get<double>(),
      serving["rows"].get<std::int64_t>(), serving["four_adapters_us"]["s2ft"].get<double>(),
      serving["four_adapters_us"]["lora"].get<double>(),
      serving["four_adapters_us"]["none"].get<double>());
}

/// Which modes fit the model; the reason for the others.
std::string WhyNot(const Mode& mode, const TrainConfig& config, const ModelConfig& model) {
  try {
    TrainConfig of_mode = config;
    of_mode.adapt.tuners = mode.tuners;
    MakeModel(of_mode, model, at::kMeta);
    return "";
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
}

}  // namespace

/// `fastclip bench adapt CONFIG …`: fine-tuning steps of a recipe, of full fine-tuning and of LoRA.
int RunBenchAdapt(int argc, const char* const* argv) {
  std::string path;
  std::vector<std::string> overrides;
  double seconds = 10;
  int rounds = 3;
  bool kinds = false, json = false;
  CLI::App app(
      "Measures fine-tuning steps of a config's recipe on its device, with synthetic data and "
      "fresh\n"
      "weights, beside full fine-tuning and LoRA of rank 8 on all linear layers. The modes take "
      "turns in\n"
      "one process. Memory is the peak of all tensors: weights, gradients, optimizer state and\n"
      "activations. Held: what a block of the image and of the text tower keeps for the backward\n"
      "pass. Last, on the largest linear layer of the image tower, it times a switch from one\n"
      "adapter to another, and a batch whose rows have different adapters.",
      "fastclip bench adapt");
  app.add_option("CONFIG", path, kConfigHelp)->required();
  app.add_option("OVERRIDES", overrides, kOverridesHelp);
  app.add_flag("--kinds", kinds, "also one recipe of each kind of tuner");
  app.add_option("--seconds", seconds,
                 "total seconds to measure each mode; at least two steps per round")
      ->capture_default_str();
  app.add_option("--rounds", rounds, "how often the modes take turns")
      ->check(Between(1, 100))
      ->capture_default_str();
  app.add_flag("--json", json, kJsonHelp);
  app.footer(
      "example: fastclip bench adapt configs/adapt/s2ft.toml train.batch_size=32 "
      "train.precision=fp32 --json");
  if (!ParseArguments(app, argc, argv)) return 0;
  const LoadedConfig config(path, overrides, {.choose_device = [] { return ChooseDevice(); }});
  const at::Device device = OpenDevice(config->train.device, kCudaKey, TellWarning);
  if (config->train.threads > 0) at::set_num_threads(config->train.threads);
  UseKernels(config->train.kernels);
  const ModelConfig model = ModelOf(config);
  const std::int64_t classes = ClassesOf(config).count;

  const std::vector<Mode> modes = ModesOf(*config, kinds);
  std::vector<std::string> refused;
  for (const Mode& mode : modes) refused.push_back(WhyNot(mode, *config, model));
  std::vector<Measured> measured(modes.size());
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < modes.size(); ++i) {
      if (!refused[i].empty()) continue;
      TrainConfig of_mode = *config;
      of_mode.adapt.tuners = modes[i].tuners;
      MeasureMode(of_mode, model, classes, device, seconds / rounds, measured[i]);
    }
  }
  Json result{{"model", model.name},
              {"batch_size", config->train.batch_size},
              {"precision", config->train.precision},
              {"device", config->train.device},
              {"threads", at::get_num_threads()},
              {"rounds", rounds}};
  double full = 0;
  for (std::size_t i = 0; i < modes.size(); ++i) {
    if (modes[i].name == "full") full = Quantile(measured[i].seconds, 0.5);
  }
  for (std::size_t i = 0; i < modes.size(); ++i) {
    result["modes"].push_back(refused[i].empty()
                                  ? JsonOf(modes[i], measured[i], full)
                                  : Json{{"name", modes[i].name}, {"refused", refused[i]}});
  }
  // A block's MLP output. 64 columns and a head are as many parameters as LoRA of rank 8 on a
  // block.
  const std::int64_t width = model.vision.is_resnet() ? model.text.width : model.vision.width;
  result["serving"] = JsonOf(MeasureServing(width, 4 * width, std::min<std::int64_t>(64, width), 8,
                                            config->train.batch_size, 100, device));
  json ? fmt::print("{}\n", result.dump(-1, ' ', false, Json::error_handler_t::replace))
       : Print(result);
  return 0;
}

}  // namespace fastclip

#include "tools/bench/bench_step.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "comm/cuda_library.h"
#include "pipeline/base/printable.h"
#include "tools/bench/step_bench.h"
#include "tools/cli/cli.h"
#include "tools/cli/measure.h"
#include "tools/cli/tell.h"
#include "tools/cli/usage_error.h"
#include "trainer/base/kernels.h"
#include "trainer/config/config.h"
#include "trainer/model/presets.h"
#include "trainer/run/run_setup.h"
#include "trainer/run/start_check.h"

namespace fastclip {
namespace {

nlohmann::ordered_json JsonOf(const StepTiming& timing, std::int64_t rows) {
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
  StepBench bench(share, ModelOf(config), /*start_mb=*/0, device, ClassesOf(config).count);
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
                 "text file with one caption per line, for the steps with captions of real length");
  app.add_option(
      "--inputs", inputs,
      "write weights and inputs to this .safetensors file, to run the same steps elsewhere");
  app.add_flag("--json", json, kJsonHelp);
  app.footer("example: fastclip bench step configs/quickstart.toml train.batch_size=256 --json");
  if (!ParseArguments(app, argc, argv)) return 0;
  const LoadedConfig config(path, overrides, {.choose_device = [] { return ChooseDevice(); }});
  const at::Device device = OpenDevice(config->train.device, kCudaKey, TellWarning);
  for (const std::string& line : UnprovedKeys(*config, !device.is_cpu())) Tell("note: {}\n", line);
  if (config->train.threads > 0) at::set_num_threads(config->train.threads);
  UseKernels(config->train.kernels);
  const std::int64_t classes = ClassesOf(config).count;
  if (classes > 0 && !(inputs.empty() && captions.empty())) {
    throw UsageError("--captions and --inputs need captions, but adapt.task = classify has none");
  }
  StepBench bench(*config, ModelOf(config), start_mb, device, classes, captions);
  if (!inputs.empty()) bench.WriteInputs(inputs, SetupOf(*config, bench.model_config(), seconds));
  // Shorter captions first: the peak only grows.
  const StepTiming real = bench.Time(bench.real(), seconds),
                   full = bench.Time(bench.full(), seconds);
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

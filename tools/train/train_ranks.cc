#include "tools/train/train_ranks.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "comm/comm_error.h"
#include "comm/cuda_library.h"
#include "comm/exchange.h"
#include "comm/group.h"
#include "comm/local_ranks.h"
#include "pipeline/base/printable.h"
#include "pipeline/files/output_file.h"
#include "tools/cli/tell.h"
#include "tools/train/rank_device.h"
#include "trainer/run/ranks.h"
#include "trainer/run/stop_signal.h"
#include "trainer/run/trainer.h"

namespace fastclip {
namespace {

constexpr int kFailed = 1, kWrongUse = 2;

/// Where torchrun looks for the reason of a failure.
void WriteErrorFile(const std::string& message) {
  const char* file = std::getenv("TORCHELASTIC_ERROR_FILE");
  if (file == nullptr || *file == '\0') return;
  const nlohmann::json content = {
      {"message",
       {{"message", message}, {"extraInfo", {{"timestamp", std::to_string(std::time(nullptr))}}}}}};
  // A rank that ends waits for no reader of a pipe.
  std::error_code ignored;
  const auto status = std::filesystem::status(file, ignored);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) return;
  try {
    OutputFile out(file, {"an error file", [](std::string_view) { return true; }});
    out.Append(content.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
    out.Commit();
  } catch (const std::exception&) {  // torchrun then tells the exit code alone
  }
}

/// No destructor may wait for ranks that are gone.
[[noreturn]] void EndRank(int rank, int code, const std::string& why) {
  const std::string line = fmt::format("rank {}: {}", rank, why.substr(0, why.find('\n')));
  Tell("fastclip train: {}\n", PrintableLines(line));
  std::fflush(nullptr);
  WriteErrorFile(line);
  _exit(code);
}

int TrainIn(Group& group, const LoadedConfig& config, const TrainRequest& request,
            const std::optional<OwnGpu>& gpu, StopSignal& stop) {
  RefuseOtherConfigs(config, group.comm());
  const at::Device device =
      gpu ? at::Device(at::kCUDA, static_cast<at::DeviceIndex>(gpu->index)) : at::kCPU;
  Trainer trainer(config, request.command, group.comm(), device);
  const int signal = trainer.Run(stop);
  group.Leave();
  return signal == 0 ? 0 : 128 + signal;
}

}  // namespace

int TrainLocalRanks(const TrainRequest& request, int ranks) {
  const LoadedConfig config(request.config_path, request.overrides, ThisHost(ranks));
  // One line, before there are ranks that would each say it. What else a GPU needs, they find out:
  // LibTorch must not be loaded with CUDA here.
  if (config->train.device == "cuda") {
    CheckForCuda();
    RequireGpus(AskGpuDriver(), ranks);
  }
  std::vector<std::string> words = {"train", request.config_path};
  words.insert(words.end(), request.overrides.begin(), request.overrides.end());
  // A rank that hangs keeps the others for the timeout of a collective.
  constexpr int kToEnd = 5;
  return RunLocalRanks(ranks, words, static_cast<int>(config->comm.timeout) + kToEnd);
}

int TrainAsRank(const TrainRequest& request, const Launch& launch) {
  StopSignal stop;  // before LibTorch starts threads
  if (launch.world_size == 1) {
    const LoadedConfig config(request.config_path, request.overrides, ThisHost(1));
    const std::optional<OwnGpu> gpu = RankDevice(config).Open(launch);
    Group group(launch, {}, {}, {});
    return TrainIn(group, config, request, gpu, stop);
  }
  const int rank = launch.rank;
  std::optional<Group> group;
  const auto own_fault = [&](int code, const std::string& why) {
    if (group) group->Fail(why, /*of_others=*/false);
    EndRank(rank, code, why);
  };
  try {
    const LoadedConfig config(request.config_path, request.overrides, ThisHost(launch));
    const RankDevice device(config);
    std::optional<OwnGpu> gpu;
    group.emplace(
        launch,
        GroupOptions{.join_timeout = std::chrono::seconds(config->comm.join_timeout),
                     .timeout = std::chrono::seconds(config->comm.timeout),
                     .open_device = [&] { return gpu = device.Open(launch); }},
        [](const std::string& line) { Tell("{}\n", line); },
        [rank](const std::string& verdict) { EndRank(rank, kOtherRankFailed, verdict); });
    return TrainIn(*group, config, request, gpu, stop);
  } catch (const CommError& error) {
    EndRank(rank, kOtherRankFailed, group ? group->Fail(error.what(), true) : error.what());
  } catch (const SharedError& error) {
    // All ranks know already; each says it, and the one at fault ends as such.
    if (error.rank() != rank) {
      if (group) group->Fail(error.what(), /*of_others=*/true);
      EndRank(rank, kOtherRankFailed, error.what());
    }
    own_fault(kFailed, error.what());
  } catch (const ConfigError& error) {
    own_fault(kWrongUse, error.what());
  } catch (const std::exception& error) {
    own_fault(kFailed, ErrorText(error));
  }
  return kFailed;  // not reached
}

}  // namespace fastclip

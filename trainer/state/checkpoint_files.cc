#include "trainer/state/checkpoint_files.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>
#include <stdexcept>
#include <system_error>
#include <vector>

#include "pipeline/files/atomic_file.h"
#include "trainer/state/checkpoint_meta.h"
#include "trainer/state/checkpoint_names.h"
#include "trainer/state/safetensors.h"
#include "trainer/state/weights_origin.h"

namespace fastclip {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

fs::path UnfinishedPath(const std::string& run_folder, std::int64_t step) {
  return CheckpointPath(run_folder, step) + std::string(kUnfinished);
}

void WriteState(const fs::path& file, const StateRows& state, const CheckpointMeta& meta,
                const std::stop_token& stop) {
  const auto rows =
      std::accumulate(state.lane_sizes.begin(), state.lane_sizes.end(), std::int64_t{0});
  if (state.values.dim() != 2 || state.values.size(0) != rows ||
      state.values.size(1) != static_cast<std::int64_t>(state.columns.size()) ||
      state.lanes.last - state.lanes.first != static_cast<std::int64_t>(state.lane_sizes.size())) {
    throw std::logic_error("the sample table's shape does not match its lanes and columns");
  }
  WriteSafetensors(file, {{"values", state.values}},
                   {{"columns", json(state.columns).dump()},
                    {"lanes_first", std::to_string(state.lanes.first)},
                    {"lanes_last", std::to_string(state.lanes.last)},
                    {"lane_sizes", json(state.lane_sizes).dump()},
                    {"order", FormatOrder(meta.order)},
                    {"data_hash", fmt::format("{:016x}", meta.data_hash)}},
                   stop);
}

void RemoveUnfinished(const fs::path& folder) {
  std::error_code ignored;
  std::vector<fs::path> unfinished;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("step_") && name.ends_with(kUnfinished))
      unfinished.push_back(entry.path());
  }
  for (const fs::path& path : unfinished) fs::remove_all(path, ignored);
}

double Megabytes(std::uintmax_t bytes) { return 1e-6 * static_cast<double>(bytes); }

void RefuseIfTooLarge(const fs::path& folder, std::uintmax_t bytes) {
  std::error_code unknown;
  const fs::space_info disk = fs::space(folder, unknown);
  if (unknown || disk.capacity == 0 || disk.available >= bytes) return;
  throw std::runtime_error(
      fmt::format("the checkpoint needs {:.1f} MB, but the disk of {} has only {:.1f} MB free; "
                  "remove files, or old checkpoints there",
                  Megabytes(bytes), folder.string(), Megabytes(disk.available)));
}

}  // namespace

std::string CheckpointPath(const std::string& run_folder, std::int64_t step) {
  return (fs::path(run_folder) / kCheckpointFolder / fmt::format("step_{}", step)).string();
}

std::int64_t BytesToWrite(const CheckpointContent& content, int rank) {
  std::size_t bytes = content.state ? content.state->values.nbytes() : 0;
  if (rank == 0) {
    for (const NamedTensors* tensors : {&content.model, &content.optimizer}) {
      for (const auto& [name, tensor] : *tensors) bytes += tensor.nbytes();
    }
  }
  return static_cast<std::int64_t>(bytes);
}

void BeginCheckpoint(const std::string& run_folder, std::int64_t step, std::int64_t bytes) {
  const fs::path unfinished = UnfinishedPath(run_folder, step);
  RemoveUnfinished(unfinished.parent_path());
  fs::create_directories(unfinished);
  RefuseIfTooLarge(unfinished.parent_path(), static_cast<std::uintmax_t>(bytes));
}

FileDigests WriteOwnFiles(const std::string& run_folder, const CheckpointMeta& meta,
                          const CheckpointContent& content, int rank, const std::stop_token& stop) {
  const fs::path folder = UnfinishedPath(run_folder, meta.step);
  std::vector<std::string> names;
  if (content.state) {
    names.push_back(StateName(static_cast<std::size_t>(rank)));
    WriteState(folder / names.back(), *content.state, meta, stop);
  }
  if (rank == 0) {
    const bool is_adapter = !content.adapter_config.empty();
    const char* const model = is_adapter ? kAdapterFile : kModelFile;
    WriteSafetensors(folder / model, content.model,
                     is_adapter ? content.adapter_metadata
                                : std::map<std::string, std::string>{{"format", "pt"}},
                     stop);
    if (is_adapter) {
      ReplaceFile(folder / kAdapterConfigFile, content.adapter_config);
      names.emplace_back(kAdapterConfigFile);
    }
    WriteSafetensors(folder / kOptimizerFile, content.optimizer, {}, stop);
    names.insert(names.end(), {model, kOptimizerFile});
    if (const std::string document = OpenClipDocument(meta.model_config); !document.empty()) {
      ReplaceFile(folder / kOpenClipFile, document);
      names.push_back(kOpenClipFile);
    }
  }
  FileDigests digests;
  for (const std::string& name : names) digests[name] = DigestFile(folder / name);
  return digests;
}

void CompleteCheckpoint(const std::string& run_folder, const CheckpointMeta& meta,
                        const FileDigests& files) {
  const fs::path unfinished = UnfinishedPath(run_folder, meta.step);
  ReplaceFile(unfinished / kCheckpointFile, FormatDocument({meta, files}));
  ReplaceFolder(unfinished, CheckpointPath(run_folder, meta.step));
  SyncFolder(run_folder);  // the first save made the folder of checkpoints
}

void DropUnfinished(const std::string& run_folder, std::int64_t step) {
  std::error_code ignored;
  fs::remove_all(UnfinishedPath(run_folder, step), ignored);
}

}  // namespace fastclip

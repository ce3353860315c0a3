#include <fmt/format.h>

#include <filesystem>
#include <stdexcept>
#include <string>
#include <utility>

#include "pipeline/shards/shard_list.h"
#include "trainer/state/checkpoint.h"
#include "trainer/state/checkpoint_list.h"
#include "trainer/state/checkpoint_names.h"

namespace fastclip {

namespace fs = std::filesystem;

namespace {

[[noreturn]] void ThrowNoCheckpoint(const fs::path& run) {
  throw std::runtime_error(fmt::format(
      "{}: the run has no checkpoint yet; wait for the first one, or use a .safetensors file",
      run.string()));
}

ModelSource SourceOf(const fs::path& checkpoint, const fs::path& run) {
  const bool is_adapter = IsAdapter(checkpoint);
  ModelSource source;
  source.file = checkpoint / (is_adapter ? kAdapterFile : kModelFile);
  source.is_adapter = is_adapter;
  source.run = run;
  return source;
}

[[noreturn]] void ThrowNotThere(const fs::path& path) {
  const fs::path folder = (path / "").parent_path().parent_path();  // without a slash at its end
  std::string others;
  if (folder.filename() == kCheckpointFolder) {
    for (const ListedCheckpoint& checkpoint : ListCheckpoints(folder.parent_path())) {
      others += (others.empty() ? "" : ", ") + checkpoint.path.filename().string();
    }
  }
  if (!others.empty()) {
    throw std::runtime_error(
        fmt::format("{}: no such checkpoint; {} has {}", path.string(), folder.string(), others));
  }
  throw std::runtime_error(fmt::format("{}: no such file or folder{}; check the path",
                                       path.string(), RelativeNote(path.string())));
}

}  // namespace

ModelSource ResolveModel(const std::string& run_checkpoint_or_file) {
  const fs::path path(run_checkpoint_or_file);
  if (fs::is_directory(path / kCheckpointFolder)) {
    if (auto found = FindNewestCheckpoint(path)) {
      ModelSource source = SourceOf(found->path, path);
      source.passed_over = std::move(found->passed_over);
      return source;
    }
    ThrowNoCheckpoint(path);
  }
  if (fs::exists(path / kCheckpointFile)) {
    CheckCheckpoint(path);
    return SourceOf(path, fs::canonical(path).parent_path().parent_path());
  }
  if (fs::is_regular_file(path)) {
    ModelSource source;
    source.file = path;
    return source;
  }
  if (fs::exists(path / "config.toml")) ThrowNoCheckpoint(path);
  if (!fs::exists(path)) ThrowNotThere(path);
  throw std::runtime_error(
      fmt::format("{}: is neither a run folder, nor a checkpoint (RUN/checkpoints/step_N), nor a "
                  ".safetensors file",
                  path.string()));
}

}  // namespace fastclip

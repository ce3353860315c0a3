#include <fmt/format.h>

#include <filesystem>
#include <stdexcept>
#include <string>
#include <utility>

#include "trainer/state/checkpoint.h"
#include "trainer/state/checkpoint_names.h"

namespace fastclip {

namespace fs = std::filesystem;

namespace {

[[noreturn]] void ThrowNoCheckpoint(const fs::path& run) {
  throw std::runtime_error(fmt::format(
      "{}: the run has no checkpoint yet; wait for the first one, or use a .safetensors file",
      run.string()));
}

}  // namespace

ModelSource ResolveModel(const std::string& run_checkpoint_or_file) {
  const fs::path path(run_checkpoint_or_file);
  if (fs::is_directory(path / kCheckpointFolder)) {
    if (auto found = FindNewestCheckpoint(path)) {
      return {fs::path(found->path) / kModelFile, path, std::move(found->passed_over)};
    }
    ThrowNoCheckpoint(path);
  }
  if (fs::exists(path / kCheckpointFile)) {
    CheckCheckpoint(path);
    return {path / kModelFile, fs::canonical(path).parent_path().parent_path(), {}};
  }
  if (fs::is_regular_file(path)) return {path, "", {}};
  if (fs::exists(path / "config.toml")) ThrowNoCheckpoint(path);
  throw std::runtime_error(
      fmt::format("{}: is neither a run folder, nor a checkpoint (RUN/checkpoints/step_N), nor a "
                  ".safetensors file",
                  path.string()));
}

}  // namespace fastclip

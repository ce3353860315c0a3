#include "trainer/state/checkpoint.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <stdexcept>

#include "trainer/base/file_io.h"
#include "trainer/state/checkpoint_list.h"
#include "trainer/state/checkpoint_meta.h"
#include "trainer/state/checkpoint_names.h"
#include "trainer/state/safetensors.h"
#include "trainer/state/weights_file.h"

namespace fastclip {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kDocumentLimit = std::int64_t{64} << 20;

const char* ModelFileOf(const fs::path& checkpoint) {
  return IsAdapter(checkpoint) ? kAdapterFile : kModelFile;
}

CheckpointDocument ReadDocument(const fs::path& checkpoint) {
  if (!fs::exists(checkpoint / kCheckpointFile))
    throw std::runtime_error("checkpoint.json is missing");
  CheckpointDocument document =
      ParseDocument(ReadWholeFile(checkpoint / kCheckpointFile, kDocumentLimit));
  for (const char* name : {ModelFileOf(checkpoint), kOptimizerFile}) {
    if (!document.files.contains(name)) {
      throw std::runtime_error(fmt::format("checkpoint.json does not list {}", name));
    }
  }
  const auto named = ParseCheckpointName(checkpoint);
  if (named && named->step != document.meta.step) {
    throw std::runtime_error(fmt::format("is a checkpoint of step {}", document.meta.step));
  }
  return document;
}

/// Throws std::runtime_error with what is missing or damaged, without the folder's path.
CheckpointDocument Check(const fs::path& checkpoint, bool hashes) {
  CheckpointDocument document = ReadDocument(checkpoint);
  for (const auto& [name, expected] : document.files) {
    const fs::path file = checkpoint / name;
    std::error_code error;
    const auto size = fs::file_size(file, error);
    if (error) throw std::runtime_error(fmt::format("{} is missing", name));
    if (static_cast<std::int64_t>(size) != expected.size) {
      throw std::runtime_error(
          fmt::format("{} has {} bytes instead of {}", name, size, expected.size));
    }
    if (hashes && DigestFile(file).xxh3 != expected.xxh3) {
      throw std::runtime_error(fmt::format("{} is corrupt: its hash does not match", name));
    }
  }
  return document;
}

/// Rejects checkpoints of diverged runs, which earlier versions saved. Reads one tensor at a time.
void RequireFinite(const fs::path& checkpoint) {
  const SafetensorsReader model(checkpoint / ModelFileOf(checkpoint));
  for (const SafetensorsEntry& entry : model.entries()) {
    if (FirstNotFinite({{entry.name, model.Read(entry)}}).empty()) continue;
    throw std::runtime_error(
        fmt::format("tensor {} holds a NaN or an infinity; the run diverged", entry.name));
  }
}

bool LooksWhole(const fs::path& checkpoint) {
  try {
    Check(checkpoint, /*hashes=*/false);
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace

void RemoveOldCheckpoints(const std::string& run_folder, std::int64_t saved_step, int keep_last) {
  std::vector<ListedCheckpoint> all;
  try {
    all = ListCheckpoints(run_folder);
  } catch (const fs::filesystem_error&) {
    return;
  }
  std::int64_t oldest_kept = saved_step;
  int whole = 0;
  // Checkpoints newer than this one are damaged or the user's: a run resumes from its newest.
  for (const ListedCheckpoint& candidate : all) {
    if (candidate.replaced || candidate.step > saved_step || !LooksWhole(candidate.path)) continue;
    oldest_kept = candidate.step;
    if (++whole == keep_last) break;
  }
  std::error_code ignored;
  for (const ListedCheckpoint& candidate : all) {
    if (candidate.replaced || (whole == keep_last && candidate.step < oldest_kept)) {
      fs::remove_all(candidate.path, ignored);
    }
  }
}

std::optional<FoundCheckpoint> FindNewestCheckpoint(const std::string& run_folder) {
  FoundCheckpoint found;
  for (const ListedCheckpoint& candidate : ListCheckpoints(run_folder)) {
    try {
      found.meta = Check(candidate.path, /*hashes=*/true).meta;
      RequireFinite(candidate.path);
      found.path = candidate.path;
      return found;
    } catch (const std::exception& error) {
      found.passed_over.push_back(fmt::format("{}: {}", candidate.path.string(), error.what()));
    }
  }
  if (found.passed_over.empty()) return std::nullopt;
  throw std::runtime_error(fmt::format(
      "{}: every checkpoint is damaged ({}); restore one, or start a new run in another folder",
      run_folder, fmt::join(found.passed_over, "; ")));
}

CheckpointMeta CheckCheckpoint(const std::string& checkpoint) {
  try {
    return Check(checkpoint, /*hashes=*/true).meta;
  } catch (const std::exception& error) {
    throw std::runtime_error(
        fmt::format("{}: {}; use another checkpoint of the run", checkpoint, error.what()));
  }
}

CheckpointMeta ReadCheckpointMeta(const std::string& checkpoint) {
  try {
    return ReadDocument(checkpoint).meta;
  } catch (const std::exception& error) {
    throw std::runtime_error(fmt::format("{}: {}", checkpoint, error.what()));
  }
}

bool IsAdapter(const std::string& checkpoint) {
  return fs::exists(fs::path(checkpoint) / kAdapterFile);
}

NamedTensors LoadModel(const std::string& checkpoint) {
  return ReadSafetensors(fs::path(checkpoint) / ModelFileOf(checkpoint)).tensors;
}

NamedTensors LoadOptimizer(const std::string& checkpoint) {
  return ReadSafetensors(fs::path(checkpoint) / kOptimizerFile).tensors;
}

std::optional<SavedTable> OpenTable(const std::string& checkpoint) {
  const CheckpointDocument document = ReadDocument(checkpoint);
  std::vector<std::string> files;
  while (document.files.contains(StateName(files.size()))) {
    files.push_back(fs::path(checkpoint) / StateName(files.size()));
  }
  if (files.empty()) return std::nullopt;
  return SavedTable(std::move(files));
}

}  // namespace fastclip

#include "trainer/state/checkpoint.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <stdexcept>

#include "trainer/base/file_io.h"
#include "trainer/state/checkpoint_meta.h"
#include "trainer/state/checkpoint_names.h"
#include "trainer/state/safetensors.h"
#include "trainer/state/weights_file.h"

namespace fastclip {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kDocumentLimit = std::int64_t{64} << 20;

struct Candidate {
  std::int64_t step = 0;
  bool replaced = false;
  fs::path path;
};

std::optional<Candidate> ParseName(const fs::path& path) {
  const std::string name = path.filename().string();
  std::string_view rest = name;
  if (!rest.starts_with("step_")) return std::nullopt;
  rest.remove_prefix(5);
  Candidate candidate{.path = path};
  if (rest.ends_with(kReplaced)) {
    candidate.replaced = true;
    rest.remove_suffix(kReplaced.size());
  }
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), candidate.step);
  if (error != std::errc() || end != rest.data() + rest.size() || rest.starts_with('-')) {
    return std::nullopt;
  }
  return candidate;
}

/// Newest first.
std::vector<Candidate> ListCheckpoints(const fs::path& folder) {
  std::vector<Candidate> all;
  if (!fs::is_directory(folder)) return all;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (auto candidate = ParseName(entry.path())) all.push_back(std::move(*candidate));
  }
  std::ranges::sort(all, [](const Candidate& a, const Candidate& b) {
    return a.step != b.step ? a.step > b.step : a.replaced < b.replaced;
  });
  return all;
}

CheckpointDocument ReadDocument(const fs::path& checkpoint) {
  if (!fs::exists(checkpoint / kCheckpointFile))
    throw std::runtime_error("checkpoint.json is missing");
  CheckpointDocument document =
      ParseDocument(ReadWholeFile(checkpoint / kCheckpointFile, kDocumentLimit));
  for (const char* name : {kModelFile, kOptimizerFile}) {
    if (!document.files.contains(name)) {
      throw std::runtime_error(fmt::format("checkpoint.json does not list {}", name));
    }
  }
  const auto named = ParseName(checkpoint);
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
  const SafetensorsReader model(checkpoint / kModelFile);
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
  std::vector<Candidate> all;
  try {
    all = ListCheckpoints(fs::path(run_folder) / kCheckpointFolder);
  } catch (const fs::filesystem_error&) {
    return;
  }
  std::int64_t oldest_kept = saved_step;
  int whole = 0;
  // Checkpoints newer than this one are damaged or the user's: a run resumes from its newest.
  for (const Candidate& candidate : all) {
    if (candidate.replaced || candidate.step > saved_step || !LooksWhole(candidate.path)) continue;
    oldest_kept = candidate.step;
    if (++whole == keep_last) break;
  }
  std::error_code ignored;
  for (const Candidate& candidate : all) {
    if (candidate.replaced || (whole == keep_last && candidate.step < oldest_kept)) {
      fs::remove_all(candidate.path, ignored);
    }
  }
}

std::optional<FoundCheckpoint> FindNewestCheckpoint(const std::string& run_folder) {
  FoundCheckpoint found;
  for (const Candidate& candidate : ListCheckpoints(fs::path(run_folder) / kCheckpointFolder)) {
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

NamedTensors LoadModel(const std::string& checkpoint) {
  return ReadSafetensors(fs::path(checkpoint) / kModelFile).tensors;
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

#include "trainer/state/checkpoint.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>
#include <stdexcept>

#include "comm/comm_error.h"
#include "comm/exchange.h"
#include "pipeline/files/file.h"
#include "trainer/base/file_io.h"
#include "trainer/state/checkpoint_meta.h"
#include "trainer/state/checkpoint_names.h"
#include "trainer/state/safetensors.h"
#include "trainer/state/weights_file.h"
#include "trainer/state/weights_origin.h"

namespace fastclip {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::int64_t kDocumentLimit = std::int64_t{64} << 20;
constexpr std::string_view kUnfinished = ".tmp";
// A complete checkpoint that a new one of the same step is replacing.
constexpr std::string_view kReplaced = ".old";

std::string StateName(std::size_t rank) { return fmt::format("state_{}.safetensors", rank); }

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

void WriteState(const fs::path& file, const StateRows& state, const CheckpointMeta& meta) {
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
                    {"data_hash", fmt::format("{:016x}", meta.data_hash)}});
}

double Megabytes(std::uintmax_t bytes) { return 1e-6 * static_cast<double>(bytes); }

std::uintmax_t BytesOf(const CheckpointContent& content, int rank) {
  std::uintmax_t bytes = content.state ? content.state->values.nbytes() : 0;
  if (rank != 0) return bytes;
  for (const NamedTensors* tensors : {&content.model, &content.optimizer}) {
    for (const auto& [name, tensor] : *tensors) bytes += tensor.nbytes();
  }
  return bytes;
}

/// Writes the files of this rank.
std::map<std::string, FileDigest> WriteOwn(const fs::path& folder, const CheckpointMeta& meta,
                                           const CheckpointContent& content, int rank) {
  std::vector<std::string> names;
  if (content.state) {
    names.push_back(StateName(static_cast<std::size_t>(rank)));
    WriteState(folder / names.back(), *content.state, meta);
  }
  if (rank == 0) {
    WriteSafetensors(folder / kModelFile, content.model, {{"format", "pt"}});
    WriteSafetensors(folder / kOptimizerFile, content.optimizer);
    names.insert(names.end(), {kModelFile, kOptimizerFile});
    if (const std::string document = OpenClipDocument(meta.model_config); !document.empty()) {
      ReplaceFile(folder / kOpenClipFile, document);
      names.push_back(kOpenClipFile);
    }
  }
  std::map<std::string, FileDigest> digests;
  for (const std::string& name : names) digests[name] = DigestFile(folder / name);
  return digests;
}

/// step_N or step_N.old is complete at any moment, if one was before.
void PutInPlace(const fs::path& unfinished, const fs::path& final) {
  if (fs::exists(final)) {
    const fs::path replaced = final.string() + std::string(kReplaced);
    fs::remove_all(replaced);
    fs::rename(final, replaced);
  }
  fs::rename(unfinished, final);
  SyncFolder(final.parent_path());
  SyncFolder(final.parent_path().parent_path());  // the first save made the folder
}

/// Best effort: errors are ignored, since the new checkpoint is already safe.
void RemoveOld(const fs::path& folder, std::int64_t saved_step, int keep_last) {
  std::error_code ignored;
  std::int64_t oldest_kept = saved_step;
  int whole = 0;
  // Checkpoints newer than this one are damaged or the user's: a run resumes from its newest.
  for (const Candidate& candidate : ListCheckpoints(folder)) {
    if (candidate.replaced || candidate.step > saved_step || !LooksWhole(candidate.path)) continue;
    oldest_kept = candidate.step;
    if (++whole == keep_last) break;
  }
  for (const Candidate& candidate : ListCheckpoints(folder)) {
    if (candidate.replaced || (whole == keep_last && candidate.step < oldest_kept)) {
      fs::remove_all(candidate.path, ignored);
    }
  }
  std::vector<fs::path> unfinished;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("step_") && name.ends_with(kUnfinished))
      unfinished.push_back(entry.path());
  }
  for (const fs::path& path : unfinished) fs::remove_all(path, ignored);
}

}  // namespace

namespace {

void Write(const fs::path& folder, const CheckpointMeta& meta, const CheckpointContent& content,
           Communicator& comm) {
  const bool first = comm.rank() == 0;
  const fs::path unfinished = folder.string() + std::string(kUnfinished);
  Together(comm, [&] {
    if (!first) return;
    fs::remove_all(unfinished);
    fs::create_directories(unfinished);
  });
  json mine = json::object();
  Together(comm, [&] {
    const std::uintmax_t needed = BytesOf(content, comm.rank());
    std::error_code unknown;
    const std::uintmax_t available = fs::space(unfinished, unknown).available;
    try {
      for (const auto& [name, digest] : WriteOwn(unfinished, meta, content, comm.rank())) {
        mine[name] = {digest.size, digest.xxh3};
      }
    } catch (const std::runtime_error& error) {
      if (unknown || available > needed) throw;
      throw std::runtime_error(
          fmt::format("{}; the checkpoint needs {:.1f} MB, but only {:.1f} MB were free",
                      error.what(), Megabytes(needed), Megabytes(available)));
    }
  });
  const std::vector<std::string> written = GatherTexts(comm, mine.dump());
  Together(comm, [&] {
    if (!first) return;
    CheckpointDocument document{meta, {}};
    for (const std::string& files : written) {
      const json digests = json::parse(files);
      for (const auto& [name, digest] : digests.items()) {
        document.files[name] = {.size = digest.at(0), .xxh3 = digest.at(1)};
      }
    }
    ReplaceFile(unfinished / kCheckpointFile, FormatDocument(document));
    SyncFolder(unfinished);
    PutInPlace(unfinished, folder);
  });
}

}  // namespace

void SaveCheckpoint(const std::string& run_folder, const CheckpointMeta& meta,
                    const CheckpointContent& content, int keep_last, Communicator& comm) {
  if (keep_last < 2) throw std::invalid_argument("keep_last must be at least 2");
  const fs::path folder = fs::path(run_folder) / kCheckpointFolder;
  const fs::path final = folder / fmt::format("step_{}", meta.step);
  try {
    Write(final, meta, content, comm);
  } catch (const CommError&) {
    throw;
  } catch (const std::exception& error) {
    std::error_code ignored;
    if (comm.rank() == 0) fs::remove_all(final.string() + std::string(kUnfinished), ignored);
    const std::string text = fmt::format(
        "step {} could not be saved: {}; earlier checkpoints in {} are intact; fix the cause, then "
        "continue with resume=true",
        meta.step, error.what(), folder.string());
    if (const auto* shared = dynamic_cast<const SharedError*>(&error)) {
      throw SharedError(shared->rank(), text);
    }
    throw std::runtime_error(text);
  }
  Together(comm, [&] {
    if (comm.rank() == 0) RemoveOld(folder, meta.step, keep_last);
  });
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

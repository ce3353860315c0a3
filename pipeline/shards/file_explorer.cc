#include "pipeline/shards/file_explorer.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>

#include "pipeline/base/mutex.h"
#include "pipeline/base/suggested_command.h"
#include "pipeline/files/file_system.h"

namespace fastclip {
namespace {

/// Sums of offsets below it cannot overflow.
constexpr std::int64_t kMostFileBytes = std::int64_t{1} << 60;
/// Walks wait for the disk, not for a core.
constexpr std::size_t kWalkers = 8;

/// Of failures in several places, the one whose place comes first. Thread-safe.
class FirstFailure {
 public:
  void Keep(std::size_t place, std::exception_ptr error) {
    const MutexLock lock(mutex_);
    if (error_ && place > place_) return;
    place_ = place;
    error_ = std::move(error);
  }
  void Rethrow() {
    const MutexLock lock(mutex_);
    if (error_) std::rethrow_exception(error_);
  }

 private:
  Mutex mutex_;
  std::size_t place_ FASTCLIP_GUARDED_BY(mutex_) = 0;
  std::exception_ptr error_ FASTCLIP_GUARDED_BY(mutex_);
};

/// Finds out about files: from sidecars that fit, else by a walk, which leaves a sidecar behind.
class Explorer {
 public:
  /// With `keep`, sidecars that have no place to lie are kept for this run.
  Explorer(IndexedFiles& files, const std::string& part, const SourceOptions& options, bool keep)
      : files_(files), part_(part), options_(options), keep_(keep) {}

  /// Fills in the entries of `draft`. Several threads; of several failures the first by place in
  /// the list is thrown.
  void Explore(Draft& draft) {
    FirstFailure failure;
    std::atomic<std::size_t> next = 0;
    const auto work = [&] {
      for (std::size_t n = next++; n < draft.unknown.size(); n = next++) {
        const auto [file, before] = draft.unknown[n];
        try {
          static_cast<FileFacts&>(draft.entries[file]) =
              FactsOf(files_.paths[file], draft.entries[file].name, before);
        } catch (...) {
          failure.Keep(n, std::current_exception());
          next = draft.unknown.size();
        }
      }
    };
    {
      std::vector<std::jthread> walkers;
      for (std::size_t t = 1; t < std::min(kWalkers, draft.unknown.size()); ++t)
        walkers.emplace_back(work);
      work();
    }
    failure.Rethrow();
    files_.walked = walked_;
  }

 private:
  /// A file that is refused leaves the sidecar of what it was.
  FileFacts FactsOf(const std::string& path, const std::string& name, const FileFacts* before) {
    SidecarStore& store = *files_.sidecars;
    const std::optional<FileStamp> stamp = FileSystemOf(path).Find(path);
    const bool with_checksums = options_.add_checksums || options_.verify_checksums;
    const auto known = store.Find(path, name, [&](const FileFacts& facts) {
      return !facts.outdated && facts.stamp == stamp && (!with_checksums || facts.checksums_hash);
    });
    if (known) {
      if (before != nullptr) RequireSameRecords(path, *before, known->facts(), IndexAgain());
      return known->facts();
    }
    const auto checked = store.Find(path, name, [&](const FileFacts& facts) {
      return stamp && facts.stamp.size == stamp->size && facts.checksums_hash;
    });
    if (options_.verify_checksums && !checked) ThrowNoChecksums(part_, path, options_);

    std::optional<WalkedFile> walked = WalkPath(path, files_.walk, options_.add_checksums);
    if (!walked) throw std::runtime_error(path + ": removed while it was being indexed");
    if (before != nullptr) RequireSameRecords(path, *before, walked->facts, IndexAgain());
    if (checked && !options_.add_checksums) TakeOverChecksums(*checked, *walked);
    if (options_.verify_checksums && !walked->facts.checksums_hash)
      ThrowNoChecksums(part_, path, options_);
    ++walked_;
    return (keep_ ? store.Keep(path, name, *walked) : store.Write(path, name, *walked)).facts();
  }

  /// The command that indexes the list as it is now.
  std::string IndexAgain() const {
    std::string command = SuggestedCommand(fmt::format("shards index '{}'", part_));
    const auto add = [&](const char* option, const std::string& value) {
      if (!value.empty()) command += fmt::format(" {} '{}'", option, value);
    };
    add("--manifest", options_.manifest);
    add("--image-key", options_.table.image);
    add("--caption-key", options_.table.caption);
    const char separator = options_.table.separator;
    add("--separator", separator == '\0'   ? ""
                       : separator == '\t' ? "tab"
                                           : std::string(1, separator));
    return command;
  }

  /// A copy with another time has the checksums of the file as it was, if its records lie where
  /// they lay: whether it is a true copy can so be verified.
  static void TakeOverChecksums(const Sidecar& from, WalkedFile& walked) {
    if (from.facts().count != walked.facts.count || !from.IsWhole(/*with_checksums=*/true)) return;
    std::vector<std::byte> places(walked.places.size());
    from.ReadPlaces(0, places);
    if (places != walked.places) return;
    walked.checksums.resize(static_cast<std::size_t>(walked.facts.count));
    from.ReadChecksums(0, walked.checksums);
    SealChecksums(walked);
  }

  IndexedFiles& files_;
  const std::string& part_;
  const SourceOptions& options_;
  const bool keep_;
  std::atomic<std::int64_t> walked_ = 0;
};

}  // namespace

void ThrowNoChecksums(const std::string& part, const std::string& path,
                      const SourceOptions& options) {
  throw std::runtime_error(
      fmt::format("{}: no checksums for its current records; create them with {} --checksum '{}'{}",
                  path, SuggestedCommand("shards index"), part,
                  options.manifest.empty() ? "" : " --manifest " + options.manifest));
}

void ExploreFiles(IndexedFiles& files, const std::string& part, const SourceOptions& options,
                  bool keep, Draft& draft) {
  Explorer(files, part, options, keep).Explore(draft);
}

std::optional<WalkedFile> WalkPath(const std::string& path, const WalkFile& walk, bool checksums) {
  try {
    const auto file = OpenFile(path);
    if (file == nullptr) return std::nullopt;
    const FileStamp stamp = file->SettledStamp();
    if (stamp.size < 0 || stamp.size > kMostFileBytes) {
      throw std::runtime_error(
          fmt::format("{}: {} bytes is not a valid file size", path, stamp.size));
    }
    WalkedFile walked = walk(*file, checksums);
    walked.facts.stamp = stamp;
    return walked;
  } catch (const std::system_error& error) {
    // Of the shard, not of the manifest: no other place to write to would help.
    throw std::runtime_error(error.what());
  }
}

}  // namespace fastclip

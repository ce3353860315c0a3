#include "pipeline/index_files.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <exception>
#include <filesystem>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <thread>
#include <unordered_map>
#include <utility>

namespace fastclip {
namespace {

namespace fs = std::filesystem;

/// Walks wait for the disk, not for a core.
constexpr std::size_t kWalkers = 8;

std::uint64_t HashText(std::string_view text) { return XXH3_64bits(text.data(), text.size()); }

/// The deepest folder that holds all paths.
fs::path CommonFolder(const std::vector<std::string>& paths) {
  fs::path common = fs::path(paths.front()).parent_path();
  for (const std::string& name : paths) {
    const fs::path folder = fs::path(name).parent_path();
    if (folder == common) continue;
    const auto [end, unused] =
        std::mismatch(common.begin(), common.end(), folder.begin(), folder.end());
    fs::path shared;
    for (auto it = common.begin(); it != end; ++it) shared /= *it;
    common = std::move(shared);
  }
  return common;
}

/// Where a file stands; nothing if it is gone.
std::optional<FileStamp> FindFile(const std::string& path) {
  struct stat status;
  if (stat(path.c_str(), &status) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
    throw std::runtime_error(fmt::format("{}: {}", path, std::generic_category().message(errno)));
  }
  if (S_ISDIR(status.st_mode)) {
    throw std::runtime_error(
        fmt::format("{}: a folder; list its files, as in '{}/*.tar'", path, path));
  }
  if (!S_ISREG(status.st_mode)) throw std::runtime_error(path + ": not a regular file");
  return FileStamp{status.st_size,
                   std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec};
}

/// "fastclip-00000..00331.tar-1f2e3d4c.manifest": a word for people, a hash to tell lists apart.
std::string ManifestName(std::string_view tail, std::string_view identity) {
  std::string word;
  for (const char c : tail.substr(0, 80)) {
    if (c == '{' || c == '}') continue;
    const bool plain =
        std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '-' || c == ',';
    word += plain ? c : '_';
  }
  return fmt::format("fastclip-{}-{:08x}.manifest", word, HashText(identity) & 0xFFFFFFFF);
}

struct Candidate {
  std::string path;
  bool required = false;  // the user named it
};

std::vector<Candidate> Candidates(const std::string& part, const fs::path& folder,
                                  const SourceOptions& options) {
  if (!options.manifest.empty()) return {{options.manifest, true}};
  const std::string prefix = folder.string() + "/";
  const std::string tail = !folder.empty() && part.starts_with(prefix)
                               ? part.substr(prefix.size())
                               : fs::path(part).filename().string();
  std::vector<Candidate> all = {{(folder / ManifestName(tail, tail)).string(), false}};
  if (!options.manifest_fallback_dir.empty()) {
    const fs::path here = folder.empty() ? fs::path(".") : folder;
    const std::string identity = (fs::absolute(here) / tail).lexically_normal().string();
    all.push_back(
        {(fs::path(options.manifest_fallback_dir) / ManifestName(tail, identity)).string(), false});
  }
  return all;
}

/// A slip of the pen may name a table or a shard, which a manifest would replace.
void RefuseToReplace(const Candidate& candidate) {
  std::error_code ignored;
  if (!candidate.required || !fs::exists(fs::symlink_status(candidate.path, ignored))) return;
  if (!Manifest::IsOne(candidate.path)) {
    throw std::runtime_error(candidate.path + ": exists and is no manifest; name another file");
  }
}

std::string Named(const std::vector<std::string>& names) {
  return names.size() == 1 ? names.front()
                           : fmt::format("{} and {} more", names.front(), names.size() - 1);
}

/// What is to be written, and what of it is known already.
struct Draft {
  std::vector<ManifestEntry> entries;
  std::vector<std::size_t> to_walk;
  std::vector<std::size_t> to_copy;
  /// What the manifest told of a file whose size or time is another now; else null.
  std::vector<const ManifestEntry*> before;
};

/// A copy with another time is no other file: only what moves SampleIndex counts.
void RefuseChange(const std::string& path, const ManifestEntry& before, const ManifestEntry& now) {
  if (before.count == now.count && before.content_hash == now.content_hash) return;
  throw std::runtime_error(fmt::format(
      "{}: changed since it was indexed ({} records then, {} now), so that records would get other "
      "indices: put the old file back, or renew the manifest with fastclip shards index and start "
      "a "
      "new run",
      path, before.count, now.count));
}

std::vector<std::byte> WalkOne(const std::string& path, const WalkFile& walk,
                               ManifestEntry& entry) {
  try {
    const UniqueFd fd = OpenToRead(path);
    if (!fd) throw std::runtime_error(path + ": gone while it was being indexed");
    entry.stamp = StampOf(fd.get(), path);
    return walk(fd.get(), path, entry);
  } catch (const std::system_error& error) {
    // Of the shard, not of the manifest: no other place to write to would help.
    throw std::runtime_error(error.what());
  }
}

/// Walks and copies into `writer`; several threads, the first failure by place in the list is
/// thrown.
void FillBlocks(ManifestWriter& writer, Draft& draft, const Manifest* old,
                const std::vector<std::string>& paths, const WalkFile& walk) {
  std::mutex mutex;
  std::atomic<std::size_t> next = 0;
  std::exception_ptr failure;
  std::size_t failed_at = draft.to_walk.size();
  for (const std::size_t i : draft.to_copy) {
    const auto block = old->ReadWholeBlock(draft.entries[i]);
    if (block) {
      writer.AddBlock(draft.entries[i], *block);
    } else {
      draft.to_walk.push_back(i);
    }
  }
  const auto work = [&] {
    for (std::size_t n = next++; n < draft.to_walk.size(); n = next++) {
      const std::size_t i = draft.to_walk[n];
      try {
        ManifestEntry entry;
        entry.name = draft.entries[i].name;
        const std::vector<std::byte> block = WalkOne(paths[i], walk, entry);
        if (draft.before[i] != nullptr) RefuseChange(paths[i], *draft.before[i], entry);
        const std::lock_guard lock(mutex);
        writer.AddBlock(entry, block);
        draft.entries[i] = std::move(entry);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (n < failed_at) {
          failed_at = n;
          failure = std::current_exception();
        }
        next = draft.to_walk.size();
      }
    }
  };
  {
    std::vector<std::jthread> walkers;
    for (std::size_t t = 1; t < std::min(kWalkers, draft.to_walk.size()); ++t)
      walkers.emplace_back(work);
    work();
  }
  if (failure) std::rethrow_exception(failure);
}

/// The places of a tar's records are checked when the shard is first read, which keeps opening
/// fast; a table's are few.
bool IsWhole(const Manifest& manifest, const ManifestEntry& entry, ManifestKind kind) {
  return kind == ManifestKind::kTar || manifest.ReadWholeBlock(entry).has_value();
}

bool NoPlaceToWrite(const std::system_error& error) {
  static constexpr int kErrors[] = {EACCES, EPERM, EROFS, ENOENT, ENOTDIR, ENOSPC, EDQUOT};
  return std::ranges::find(kErrors, error.code().value()) != std::end(kErrors);
}

Manifest Write(const std::string& path, ManifestKind kind, Draft draft, const Manifest* old,
               const std::vector<std::string>& paths, const WalkFile& walk) {
  ManifestWriter writer(path, kind);
  FillBlocks(writer, draft, old, paths, walk);
  return writer.Finish(std::move(draft.entries));
}

/// In a file without a name, for this run only.
Manifest WritePrivate(ManifestKind kind, Draft draft, const Manifest* old,
                      const std::vector<std::string>& paths, const WalkFile& walk) {
  std::string folder = (fs::temp_directory_path() / "fastclip-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) {
    throw std::system_error(errno, std::generic_category(), "no place for a manifest: " + folder);
  }
  const std::string path = folder + "/manifest";
  const auto remove = [&](void*) {
    unlink(path.c_str());
    rmdir(folder.c_str());
  };
  const std::unique_ptr<void, decltype(remove)> cleanup(&folder, remove);
  return Write(path, kind, std::move(draft), old, paths, walk);
}

void Warn(IndexedFiles& files, ManifestKind kind, const std::vector<std::size_t>& gone) {
  std::vector<std::string> missing, cut, damaged, incomplete;
  std::int64_t lost = 0, lacking = 0;
  for (const std::size_t i : gone) {
    missing.push_back(files.paths[i]);
    lost += files.manifest.entries()[i].count;
  }
  for (const ManifestEntry& entry : files.manifest.entries()) {
    if (entry.cut) cut.push_back(entry.name);
    if (entry.damaged > 0) damaged.push_back(entry.name);
    if (entry.incomplete > 0) incomplete.push_back(entry.name);
    lacking += entry.incomplete;
  }
  if (!missing.empty()) {
    files.warnings.push_back(fmt::format(
        "gone since it was indexed: {}; {} records will be skipped", Named(missing), lost));
  }
  if (!cut.empty()) {
    files.warnings.push_back(fmt::format(
        "cut short (no mark at the end): {}; what is whole is used, fetch it again for the rest",
        Named(cut)));
  }
  if (!damaged.empty()) {
    files.warnings.push_back(
        fmt::format("damaged inside: {}; what is whole is used", Named(damaged)));
  }
  if (lacking > 0) {
    files.warnings.push_back(
        kind == ManifestKind::kTar
            ? fmt::format("{} records lack an image or a caption (in {}); do the members of each "
                          "lie side by side?",
                          lacking, Named(incomplete))
            : fmt::format("{} rows cannot be read (in {})", lacking, Named(incomplete)));
  }
}

}  // namespace

IndexedFiles IndexFiles(const std::string& part, std::vector<std::string> paths, ManifestKind kind,
                        const SourceOptions& options, const WalkFile& walk) {
  const fs::path folder = CommonFolder(paths);
  const std::vector<Candidate> candidates = Candidates(part, folder, options);

  std::optional<Manifest> old;
  std::string old_path;
  for (const Candidate& candidate : candidates) {
    if ((old = Manifest::Open(candidate.path, kind))) {
      old_path = candidate.path;
      break;
    }
    RefuseToReplace(candidate);
  }
  std::unordered_map<std::string_view, const ManifestEntry*> known;
  if (old) {
    for (const ManifestEntry& entry : old->entries()) known.emplace(entry.name, &entry);
  }

  Draft draft;
  std::vector<std::size_t> gone;
  std::vector<std::string> unknown;
  bool same = old && old->entries().size() == paths.size();
  for (std::size_t i = 0; i < paths.size(); ++i) {
    ManifestEntry& entry = draft.entries.emplace_back();
    entry.name = folder.empty() ? paths[i] : fs::path(paths[i]).lexically_relative(folder).string();
    const std::optional<FileStamp> stamp = FindFile(paths[i]);
    const auto found = known.find(entry.name);
    const bool is_known = found != known.end() && IsWhole(*old, *found->second, kind);
    if (is_known && (!stamp || found->second->stamp == *stamp)) {
      entry = *found->second;
      draft.to_copy.push_back(i);
    } else if (stamp) {
      draft.to_walk.push_back(i);
      same = false;
    }
    const bool changed = stamp && found != known.end() && found->second->stamp != *stamp;
    draft.before.push_back(changed && !options.renew ? found->second : nullptr);
    if (!stamp && is_known) gone.push_back(i);
    if (!stamp && !is_known) unknown.push_back(paths[i]);
    same = same && old->entries()[i].name == entry.name;
  }
  if (!unknown.empty()) {
    throw std::runtime_error(
        fmt::format("'{}': {} of {} files missing: {}; correct the list or fetch them", part,
                    unknown.size(), paths.size(), Named(unknown)));
  }
  if (gone.size() == paths.size()) {
    throw std::runtime_error(
        fmt::format("'{}': all {} files are gone since they were indexed; is the disk mounted?",
                    part, paths.size()));
  }

  IndexedFiles files;
  files.paths = std::move(paths);
  files.walked = static_cast<std::int64_t>(draft.to_walk.size());
  if (same) {
    files.manifest = std::move(*old);
    files.manifest_path = old_path;
  } else {
    const Manifest* from = old ? &*old : nullptr;
    bool written = false;
    std::string reason;
    for (const Candidate& candidate : candidates) {
      try {
        files.manifest = Write(candidate.path, kind, draft, from, files.paths, walk);
        files.manifest_path = candidate.path;
        written = true;
        break;
      } catch (const std::system_error& error) {
        if (candidate.required || !NoPlaceToWrite(error)) throw;
        reason = error.what();
      }
    }
    if (!written) {
      files.manifest = WritePrivate(kind, std::move(draft), from, files.paths, walk);
      files.warnings.push_back(fmt::format(
          "the manifest cannot be kept ({}): it is made anew at each start; name a file for it",
          reason));
    }
  }
  Warn(files, kind, gone);
  return files;
}

}  // namespace fastclip

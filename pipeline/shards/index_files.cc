#include "pipeline/shards/index_files.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>

#include "pipeline/base/ascii.h"
#include "pipeline/base/printable.h"
#include "pipeline/files/atomic_file.h"
#include "pipeline/files/file_system.h"
#include "pipeline/files/output_file.h"
#include "pipeline/shards/file_explorer.h"
#include "pipeline/shards/shard_list.h"
#include "pipeline/shards/shard_pattern.h"
#include "pipeline/shards/tar_walk.h"

namespace fastclip {
namespace {

namespace fs = std::filesystem;

thread_local bool without_indexing = false;

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

/// "fastclip-00000..00331.tar-1f2e3d4c.manifest": a word for people, a hash to tell lists apart.
std::string ManifestName(std::string_view tail, std::string_view identity) {
  return fmt::format("fastclip-{}-{:08x}.manifest", PlainName(tail),
                     XXH3_64bits(identity.data(), identity.size()) & 0xFFFFFFFF);
}

/// Where a manifest may lie.
struct Candidate {
  std::string path;
  bool required = false;  // the user named it
  bool beside = false;    // with the files of the list, and so are their sidecars

  /// Where it is written: links to it stay.
  std::string target() const { return required ? FollowLinks(path) : path; }

  std::string sidecar_folder() const { return beside ? "" : path + ".places"; }
};

std::vector<Candidate> Candidates(const std::string& part, const fs::path& folder,
                                  const SourceOptions& options) {
  if (!options.manifest.empty()) return {{.path = options.manifest, .required = true}};
  const std::string prefix = folder.string() + "/";
  const std::string spelled = UnescapePattern(part);
  const std::string tail = !folder.empty() && spelled.starts_with(prefix)
                               ? spelled.substr(prefix.size())
                               : fs::path(spelled).filename().string();
  std::vector<Candidate> all = {
      {.path = (folder / ManifestName(tail, tail)).string(), .beside = true}};
  if (!options.manifest_fallback_dir.empty()) {
    const fs::path here = folder.empty() ? fs::path(".") : folder;
    const std::string identity = (fs::absolute(here) / tail).lexically_normal().string();
    all.push_back(
        {.path =
             (fs::path(options.manifest_fallback_dir) / ManifestName(tail, identity)).string()});
  }
  return all;
}

/// A slip of the pen may name a table or a shard, which a manifest would replace.
void RefuseToReplace(const Candidate& candidate) {
  std::error_code ignored;
  if (!candidate.required || !fs::exists(candidate.path, ignored)) return;
  if (!Manifest::IsOne(candidate.path)) {
    throw std::runtime_error(candidate.path + ": exists and is not a manifest; use another file");
  }
}

std::string Named(const std::vector<std::string>& names) {
  return names.size() == 1 ? names.front()
                           : fmt::format("{} and {} more", names.front(), names.size() - 1);
}

/// `missing`: those of `paths` that are not there.
[[noreturn]] void ThrowMissing(const std::string& part, const std::vector<std::string>& paths,
                               const std::vector<std::string>& missing) {
  const std::string note = RelativeNote(missing.front());
  if (paths.size() > 1) {
    throw std::runtime_error(fmt::format(
        "'{}': {} of {} files missing: {}{}; correct the list or fetch {}", part, missing.size(),
        paths.size(), Named(missing), note, missing.size() == 1 ? "it" : "them"));
  }
  throw std::runtime_error(fmt::format("'{}'{}: no such file{}; check the path{}", paths.front(),
                                       part == paths.front() ? "" : fmt::format(" in '{}'", part),
                                       note, CommaNote(part)));
}

std::string NameIn(const fs::path& folder, const std::string& path) {
  return folder.empty() ? path : fs::path(path).lexically_relative(folder).string();
}

/// Whether a manifest tells of these very files all that is wanted.
bool IsOf(const Manifest& manifest, const fs::path& folder, const std::vector<std::string>& paths,
          const SourceOptions& options) {
  const bool with_checksums = options.add_checksums || options.verify_checksums;
  return std::ranges::equal(
      manifest.entries(), paths, [&](const ManifestEntry& entry, const std::string& path) {
        return entry.name == NameIn(folder, path) && (!with_checksums || entry.checksums_hash);
      });
}

Draft Compare(const std::string& part, const fs::path& folder,
              const std::vector<std::string>& paths, const Manifest* old,
              const SourceOptions& options) {
  std::unordered_map<std::string_view, const ManifestEntry*> known;
  if (old != nullptr) {
    for (const ManifestEntry& entry : old->entries()) known.emplace(entry.name, &entry);
  }
  Draft draft;
  draft.entries.reserve(paths.size());
  draft.same = old != nullptr && old->entries().size() == paths.size();
  std::vector<std::string> missing;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    ManifestEntry& entry = draft.entries.emplace_back();
    entry.name = NameIn(folder, paths[i]);
    draft.same = draft.same && old->entries()[i].name == entry.name;
    const std::optional<FileStamp> stamp = FileSystemOf(paths[i]).Find(paths[i]);
    const auto found = known.find(entry.name);
    const ManifestEntry* before = found == known.end() ? nullptr : found->second;
    if (!stamp && before == nullptr) missing.push_back(paths[i]);
    if (!stamp && before != nullptr) draft.gone.push_back(i);
    const bool changed = stamp && before != nullptr && before->stamp != *stamp;
    if (before != nullptr && !changed) {
      entry = *before;
      if (!stamp || entry.checksums_hash) continue;
      if (options.verify_checksums) ThrowNoChecksums(part, paths[i], options);
      if (!options.add_checksums) continue;
    }
    draft.unknown.push_back({.file = i, .before = changed && !options.renew ? before : nullptr});
    draft.same = false;
  }
  if (!missing.empty()) ThrowMissing(part, paths, missing);
  if (draft.gone.size() == paths.size()) {
    throw std::runtime_error(
        fmt::format("'{}': all indexed files are missing ({}); check that the disk is mounted",
                    part, Counted(std::ssize(paths), "file")));
  }
  return draft;
}

/// What killed runs left where files are about to be written.
void RemoveLeftovers(const std::vector<std::string>& paths, const Draft& draft,
                     const Candidate& candidate) {
  const auto ours = [](std::string_view target) {
    return target.ends_with(kSidecarSuffix) || target.ends_with(".manifest") ||
           target.ends_with(".keys");
  };
  std::set<std::string> folders = {fs::path(candidate.target()).parent_path().string()};
  if (candidate.beside) {
    for (const auto& unknown : draft.unknown)
      folders.insert(fs::path(paths[unknown.file]).parent_path().string());
  } else {
    folders.insert(candidate.sidecar_folder());
  }
  for (const std::string& folder : folders) RemoveAbandoned(folder, ours);
}

/// Takes over the checksums that another process has put into the manifest since it was read here.
void KeepChecksums(const std::string& path, FileKind kind, Draft& draft) {
  const auto now = Manifest::Open(path, kind);
  if (!now) return;
  std::unordered_map<std::string_view, const ManifestEntry*> known;
  for (const ManifestEntry& entry : now->entries()) known.emplace(entry.name, &entry);
  for (ManifestEntry& entry : draft.entries) {
    const auto found = known.find(entry.name);
    if (found != known.end() && !entry.checksums_hash && found->second->IsOfSameFile(entry))
      entry.checksums_hash = found->second->checksums_hash;
  }
}

/// Finds out what `draft` lacks and writes the manifest, at the first of the candidates that can
/// be.
void Complete(IndexedFiles& files, Draft draft, FileKind kind, const std::string& part,
              const std::vector<Candidate>& candidates, const SourceOptions& options) {
  std::string reason;
  for (const Candidate& candidate : candidates) {
    if (WithoutIndexing::active()) break;
    try {
      const std::string target = candidate.target();
      RemoveLeftovers(files.paths, draft, candidate);
      AtomicFile file(target);  // before the walk, which may take hours
      files.sidecars = std::make_unique<SidecarStore>(candidate.sidecar_folder(), kind);
      ExploreFiles(files, part, options, /*keep=*/false, draft);
      const FolderLock lock(fs::path(target).parent_path().string());
      KeepChecksums(target, kind, draft);
      files.manifest = Manifest(draft.entries);
      file.Append(files.manifest.Pack(kind));
      file.Commit();
      files.manifest_path = candidate.path;
      return;
    } catch (const std::system_error& error) {
      if (candidate.required || !IsNoPlaceToWrite(error)) throw;
      reason = error.what();
    }
  }
  files.sidecars = std::make_unique<SidecarStore>(candidates.front().sidecar_folder(), kind,
                                                  WithoutIndexing::active());
  ExploreFiles(files, part, options, /*keep=*/true, draft);
  files.manifest = Manifest(std::move(draft.entries));
  if (WithoutIndexing::active()) return;
  files.notes.push_back(
      fmt::format("the manifest cannot be saved ({}) and is rebuilt at each start; set a writable "
                  "path with data.manifest (--manifest)",
                  reason));
}

/// "1 row is", "2 rows are".
std::string Rows(std::int64_t count, const char* one, const char* more) {
  return fmt::format("{} {} {}", count, count == 1 ? "row" : "rows", count == 1 ? one : more);
}

void WarnOfTable(IndexedFiles& files) {
  const ManifestEntry& table = files.manifest.entries().front();
  std::string name = fs::path(files.paths.front()).filename();
  std::ranges::transform(name, name.begin(), LowerAscii);
  const bool is_json = name.find("json") != name.npos;
  // The row of a quote that is not closed is told apart, by the table.
  const std::int64_t damaged = table.damaged - (table.cut ? 1 : 0);
  if (damaged > 0) {
    files.warnings.push_back(
        is_json ? fmt::format("{} a JSON object (bad_row)", Rows(damaged, "is not", "are not"))
                : fmt::format("{} too many or too few fields, or text after a closing quote "
                              "(bad_row)",
                              Rows(damaged, "has", "have")));
  }
  if (table.incomplete > 0) {
    files.warnings.push_back(
        fmt::format("{} an image path or a caption (a label, if labels are read)",
                    Rows(table.incomplete, "lacks", "lack")));
  }
}

void Warn(IndexedFiles& files, FileKind kind, const std::vector<std::size_t>& gone) {
  std::vector<std::string> missing, cut, damaged;
  std::int64_t lost = 0, damage = 0;
  for (const std::size_t i : gone) {
    missing.push_back(files.paths[i]);
    lost += files.manifest.entries()[i].count;
  }
  for (const ManifestEntry& entry : files.manifest.entries()) {
    if (entry.cut) cut.push_back(entry.name);
    if (entry.damaged > 0) {
      damaged.push_back(fmt::format("{} (bytes {}..{})", entry.name, entry.first_damage.begin,
                                    entry.first_damage.end));
      damage += entry.damaged * kTarBlock;
    }
  }
  if (!missing.empty()) {
    files.warnings.push_back(
        fmt::format("missing since the list was indexed: {}; {} will be skipped", Named(missing),
                    Counted(lost, "record")));
  }
  if (kind != FileKind::kTar) return WarnOfTable(files);
  if (!cut.empty()) {
    files.warnings.push_back(
        fmt::format("truncated (no end-of-archive mark): {}; complete records are used; fetch {} "
                    "again for the rest",
                    Named(cut), cut.size() == 1 ? "it" : "them"));
  }
  if (!damaged.empty()) {
    files.warnings.push_back(
        fmt::format("damaged: {}; {} bytes in all are zeros or garbage where records may have "
                    "been; intact records are used; fetch {} again for the rest",
                    Named(damaged), damage, damaged.size() == 1 ? "it" : "them"));
  }
}

}  // namespace

WithoutIndexing::WithoutIndexing() : before_(without_indexing) { without_indexing = true; }
WithoutIndexing::~WithoutIndexing() { without_indexing = before_; }
bool WithoutIndexing::active() { return without_indexing; }

IndexedFiles IndexFiles(const std::string& part, std::vector<std::string> paths, FileKind kind,
                        const SourceOptions& options, WalkFile walk) {
  const fs::path folder = CommonFolder(paths);
  std::vector<Candidate> candidates = Candidates(part, folder, options);
  std::optional<Manifest> old;
  for (auto candidate = candidates.begin(); candidate != candidates.end(); ++candidate) {
    if ((old = Manifest::Open(candidate->path, kind))) {
      // What there is is renewed where it is.
      std::rotate(candidates.begin(), candidate, candidate + 1);
      break;
    }
    RefuseToReplace(*candidate);
  }

  Draft draft;
  draft.same = options.trust_manifest && old && IsOf(*old, folder, paths, options);
  if (!draft.same) draft = Compare(part, folder, paths, old ? &*old : nullptr, options);
  const std::vector<std::size_t> gone = draft.gone;
  IndexedFiles files;
  files.paths = std::move(paths);
  files.walk = std::move(walk);
  if (draft.same) {
    files.sidecars = std::make_unique<SidecarStore>(candidates.front().sidecar_folder(), kind,
                                                    WithoutIndexing::active());
    files.manifest = std::move(*old);
    files.manifest_path = candidates.front().path;
  } else {
    Complete(files, std::move(draft), kind, part, candidates, options);
  }
  Warn(files, kind, gone);
  return files;
}

}  // namespace fastclip

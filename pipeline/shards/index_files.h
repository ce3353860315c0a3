#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/records/record_source.h"
#include "pipeline/shards/manifest.h"
#include "pipeline/shards/sidecar_store.h"

namespace fastclip {

/// Walks one open file: all facts but its stamp, its places and, if asked for, its checksums.
using WalkFile = std::function<WalkedFile(const RandomAccessFile& file, bool checksums)>;

/// Opens a file and walks it; nothing where it is gone. Throws std::runtime_error.
std::optional<WalkedFile> WalkPath(const std::string& path, const WalkFile& walk, bool checksums);

/// The files of one part of a list, the manifest that counts their records, and the sidecars that
/// tell where these lie.
struct IndexedFiles {
  std::vector<std::string> paths;
  Manifest manifest;          ///< entry i is of paths[i]
  std::string manifest_path;  ///< empty if no folder could be written
  std::unique_ptr<SidecarStore> sidecars;
  WalkFile walk;                      ///< makes a sidecar again that is lost
  std::int64_t walked = 0;            ///< files that were walked now: new ones, and changed ones
  std::vector<std::string> warnings;  ///< of the data
  std::vector<std::string> notes;     ///< of where the index lies
};

/// While one lives, lists that its thread opens are read only: neither manifest nor sidecars are
/// written. Files that are in none are looked through for this time.
class WithoutIndexing {
 public:
  WithoutIndexing();
  ~WithoutIndexing();
  WithoutIndexing(const WithoutIndexing&) = delete;
  WithoutIndexing& operator=(const WithoutIndexing&) = delete;
  static bool active();

 private:
  bool before_;
};

/// Opens the manifest of `paths`, which `part` of a list named, or makes it. Entries whose file has
/// kept size and time are taken over without a look at their sidecars; of the others the sidecar
/// tells, which another list may have made, or else several threads walk them. A file that is gone
/// keeps its entry: its records stay counted, and reading them gives Skip::kMissing. With
/// options.trust_manifest no file of a manifest that names all of them is looked at.
///
/// The manifest lies in options.manifest, else in the folder that holds all paths, else in
/// options.manifest_fallback_dir, under a name made from `part`. Names in it are relative to that
/// folder, so that moving the folder keeps manifest and hash. Sidecars lie beside the files where
/// the manifest lies with them, else in the folder MANIFEST.places.
///
/// Throws std::runtime_error: a file that is missing and in no manifest, one that holds
/// another number of records than when it was indexed (but for options.renew), all files gone, a
/// folder, an options.manifest that is something else's file, a file without checksums for
/// options.verify_checksums, what `walk` throws.
IndexedFiles IndexFiles(const std::string& part, std::vector<std::string> paths, FileKind kind,
                        const SourceOptions& options, WalkFile walk);

}  // namespace fastclip

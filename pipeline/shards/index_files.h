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

/// Scans one open file: all facts except its stamp, its places and, if requested, its checksums.
using WalkFile = std::function<WalkedFile(const RandomAccessFile& file, bool checksums)>;

/// Opens and scans a file; nothing if it is missing. Throws std::runtime_error.
std::optional<WalkedFile> WalkPath(const std::string& path, const WalkFile& walk, bool checksums);

/// The files of one part of a list, their manifest with record counts, and their sidecars with
/// record positions.
struct IndexedFiles {
  std::vector<std::string> paths;
  Manifest manifest;          ///< entry i is of paths[i]
  std::string manifest_path;  ///< empty if no folder could be written
  std::unique_ptr<SidecarStore> sidecars;
  WalkFile walk;                      ///< rebuilds a lost sidecar
  std::int64_t walked = 0;            ///< files scanned now: new and changed ones
  std::vector<std::string> warnings;  ///< about the data
  std::vector<std::string> notes;     ///< about the location of the index
};

/// While it lives, lists opened by its thread are read-only: neither manifests nor sidecars are
/// written. Files without them are scanned for this run only.
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

/// Opens or builds the manifest of `paths`, which are the files of `part` of a list. Entries of
/// files with the same size and time are reused without reading their sidecars. Other files are
/// read from their sidecars, which another list can have made, or else scanned on several threads.
/// A missing file keeps its entry: its records still count, and reading them returns
/// Skip::kMissing. With options.trust_manifest, files of a complete manifest are not checked.
///
/// The manifest is options.manifest, else a file in the common folder of all paths, else in
/// options.manifest_fallback_dir, with a name made from `part`. Names in it are relative to the
/// common folder, so moving that folder keeps manifest and hash. Sidecars are next to the files if
/// the manifest is there too, else in the folder MANIFEST.places.
///
/// Throws std::runtime_error for a missing file that is not in the manifest, a file whose records
/// changed since it was indexed (unless options.renew), all files missing, a folder, an
/// options.manifest that is another kind of file, a file without checksums if
/// options.verify_checksums, and what `walk` throws.
IndexedFiles IndexFiles(const std::string& part, std::vector<std::string> paths, FileKind kind,
                        const SourceOptions& options, WalkFile walk);

}  // namespace fastclip

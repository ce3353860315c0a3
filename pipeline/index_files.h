#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "pipeline/manifest.h"
#include "pipeline/record_source.h"

namespace fastclip {

/// The files of one part of a list and the manifest that tells where their records lie.
struct IndexedFiles {
  std::vector<std::string> paths;
  Manifest manifest;  ///< entry i is of paths[i]
  std::string
      manifest_path;        ///< empty if no folder could be written: then it lives as long as this
  std::int64_t walked = 0;  ///< files whose records were looked up now: new ones, and changed ones
  std::vector<std::string> warnings;
};

/// Walks one file: fills in the entry's counts and returns its block of places.
using WalkFile =
    std::function<std::vector<std::byte>(int fd, const std::string& path, ManifestEntry&)>;

/// Opens the manifest of `paths`, which `part` of a list named, or makes it. Entries whose file has
/// kept size and time are taken over, the others walked by several threads. A file that is gone
/// keeps its entry: its records stay counted, and reading them gives Skip::kMissing.
///
/// The manifest lies in options.manifest, else in the folder that holds all paths, else in
/// options.manifest_fallback_dir, under a name made from `part`. Names in it are relative to that
/// folder, so that moving the folder keeps manifest and hash.
///
/// Throws std::runtime_error: a file that is missing and in no manifest, one that holds
/// another number of records than when it was indexed (but for options.renew), all files gone, a
/// folder, an options.manifest that is something else's file, what `walk` throws.
IndexedFiles IndexFiles(const std::string& part, std::vector<std::string> paths, ManifestKind kind,
                        const SourceOptions& options, const WalkFile& walk);

}  // namespace fastclip

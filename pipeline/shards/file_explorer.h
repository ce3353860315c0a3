#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "pipeline/records/record_source.h"
#include "pipeline/shards/index_files.h"
#include "pipeline/shards/manifest.h"

namespace fastclip {

/// A manifest in progress: known entries, and files still to be scanned.
struct Draft {
  struct Unknown {
    std::size_t file;
    /// The manifest's entry before the file's size or time changed; null if a change is accepted.
    const ManifestEntry* before;
  };
  std::vector<ManifestEntry> entries;
  std::vector<Unknown> unknown;
  std::vector<std::size_t> gone;
  bool same = false;  // as the existing manifest
};

/// Fills in the unknown entries of `draft` from matching sidecars, or else by scanning the files
/// and writing sidecars. With `keep`, sidecars that cannot be written are kept for this run.
/// Multi-threaded; of several failures the first in list order is thrown.
void ExploreFiles(IndexedFiles& files, const std::string& part, const SourceOptions& options,
                  bool keep, Draft& draft);

/// Throws that `path` has no checksums of its records, which options.verify_checksums needs.
[[noreturn]] void ThrowNoChecksums(const std::string& part, const std::string& path,
                                   const SourceOptions& options);

}  // namespace fastclip

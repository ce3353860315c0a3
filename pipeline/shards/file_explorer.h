#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "pipeline/records/record_source.h"
#include "pipeline/shards/index_files.h"
#include "pipeline/shards/manifest.h"

namespace fastclip {

/// The manifest of some files as far as it is known, and what is still to be found out.
struct Draft {
  struct Unknown {
    std::size_t file;
    /// What the manifest told of it when its size or time was another; null where a change is
    /// welcome.
    const ManifestEntry* before;
  };
  std::vector<ManifestEntry> entries;
  std::vector<Unknown> unknown;
  std::vector<std::size_t> gone;
  bool same = false;  // as the manifest that there is
};

/// Fills in the entries of `draft` that are not known: from sidecars that fit, else by walks, which
/// leave sidecars behind; with `keep`, those that have no place to lie are kept for this run.
/// Several threads; of several failures the first by place in the list is thrown.
void ExploreFiles(IndexedFiles& files, const std::string& part, const SourceOptions& options,
                  bool keep, Draft& draft);

/// `path` has no checksums of its records, and options.verify_checksums asks for them.
[[noreturn]] void ThrowNoChecksums(const std::string& part, const std::string& path,
                                   const SourceOptions& options);

}  // namespace fastclip

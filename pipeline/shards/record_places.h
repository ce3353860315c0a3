#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <vector>

#include "pipeline/base/lru_cache.h"
#include "pipeline/base/mutex.h"
#include "pipeline/files/spare_files.h"
#include "pipeline/shards/index_files.h"
#include "pipeline/shards/sidecar.h"

namespace fastclip {

/// The sidecars of a list's files, opened and checked when a file is first read; a few are kept
/// open. A missing, damaged or stale one is rebuilt by scanning its file. Thread-safe.
class RecordPlaces {
 public:
  /// With `checksums`, each sidecar must have the checksums that the manifest knows. `files` must
  /// outlive this.
  RecordPlaces(const IndexedFiles& files, bool checksums);

  /// The sidecar of a file; null if both are missing. Throws std::runtime_error with the file if
  /// its records differ from the manifest, or if its checksums are lost and its bytes have changed
  /// since.
  std::shared_ptr<const Sidecar> Open(std::size_t file) const;
  /// The same for a caller that has the file open with stamp `opened`. If the file has been
  /// replaced since, the places are those of the new file, as their stamp shows.
  std::shared_ptr<const Sidecar> Open(std::size_t file, const FileStamp& opened) const;

 private:
  std::shared_ptr<const Sidecar> OpenLocked(std::size_t file) const;
  std::optional<Sidecar> Find(std::size_t file) const;
  std::optional<Sidecar> MakeAgain(std::size_t file) const;

  const IndexedFiles& files_;
  const bool checksums_;
  mutable LruCache<std::size_t, Sidecar> open_;
  const SpareFiles spare_;  // of open_
  /// A file's lock is chosen by its number modulo 64.
  mutable std::array<Mutex, 64> mutexes_;
  mutable std::vector<unsigned char> checked_;
  mutable std::vector<FileStamp> stamps_;  // that the sidecar has: of the file, when it was walked
};

}  // namespace fastclip

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

/// The sidecars of a list's files, opened when a file is first read and checked then; a few are
/// kept open. One that is missing, damaged or stale is made again by walking its file. Thread-safe.
class RecordPlaces {
 public:
  /// With `checksums`, each sidecar has those that the manifest knows. `files` must outlive this.
  RecordPlaces(const IndexedFiles& files, bool checksums);

  /// The sidecar of a file; null where that is gone as well as its file. Throws std::runtime_error
  /// that names the file: it has other records than its manifest says; its checksums are lost and
  /// its bytes are others than when they were taken.
  std::shared_ptr<const Sidecar> Open(std::size_t file) const;
  /// The same for who has the file open, whose stamp is `opened`. Where another file has its name
  /// by now, the places are that one's: their stamp tells.
  std::shared_ptr<const Sidecar> Open(std::size_t file, const FileStamp& opened) const;

 private:
  std::shared_ptr<const Sidecar> OpenLocked(std::size_t file) const;
  std::optional<Sidecar> Find(std::size_t file) const;
  std::optional<Sidecar> MakeAgain(std::size_t file) const;

  const IndexedFiles& files_;
  const bool checksums_;
  mutable LruCache<std::size_t, Sidecar> open_;
  const SpareFiles spare_;  // of open_
  /// Of each file: its lock is that of its number's last digits.
  mutable std::array<Mutex, 64> mutexes_;
  mutable std::vector<unsigned char> checked_;
  mutable std::vector<FileStamp> stamps_;  // that the sidecar has: of the file, when it was walked
};

}  // namespace fastclip

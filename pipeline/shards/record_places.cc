#include "pipeline/shards/record_places.h"

#include <stdexcept>
#include <string>
#include <utility>

#include "pipeline/base/suggested_command.h"

namespace fastclip {
namespace {

/// Beside as many shards as a source keeps open, and small to open again.
constexpr std::size_t kOpenSidecars = 128;

}  // namespace

RecordPlaces::RecordPlaces(const IndexedFiles& files, bool checksums)
    : files_(files),
      checksums_(checksums),
      open_(SpareFiles::Allowance(kOpenSidecars)),
      spare_(open_.capacity(), [this] { return open_.DropOldest(); }),
      checked_(files.paths.size()) {
  stamps_.reserve(files.paths.size());
  for (const ManifestEntry& entry : files.manifest.entries()) stamps_.push_back(entry.stamp);
}

std::shared_ptr<const Sidecar> RecordPlaces::Open(std::size_t file) const {
  if (auto found = open_.Find(file)) return found;
  const MutexLock lock(mutexes_[file % mutexes_.size()]);
  return OpenLocked(file);
}

std::shared_ptr<const Sidecar> RecordPlaces::Open(std::size_t file, const FileStamp& opened) const {
  if (auto found = open_.Find(file); found && found->facts().stamp == opened) return found;
  const MutexLock lock(mutexes_[file % mutexes_.size()]);
  if (stamps_[file] != opened) {
    stamps_[file] = opened;
    checked_[file] = 0;
    open_.Forget(file);
  }
  return OpenLocked(file);
}

std::shared_ptr<const Sidecar> RecordPlaces::OpenLocked(std::size_t file) const {
  if (auto found = open_.Find(file)) return found;
  auto sidecar = Find(file);
  // What was whole stays so for the process: a sidecar is replaced, never rewritten.
  if (sidecar && checked_[file] == 0 && !sidecar->IsWhole(checksums_)) sidecar.reset();
  if (!sidecar) sidecar = MakeAgain(file);
  if (!sidecar) return nullptr;
  checked_[file] = 1;
  stamps_[file] = sidecar->facts().stamp;
  return open_.Put(file, std::move(*sidecar));
}

std::optional<Sidecar> RecordPlaces::Find(std::size_t file) const {
  const ManifestEntry& entry = files_.manifest.entries()[file];
  return files_.sidecars->Find(files_.paths[file], entry.name, [&](const FileFacts& facts) {
    return facts.stamp == stamps_[file] && facts.count == entry.count &&
           facts.content_hash == entry.content_hash &&
           (!checksums_ || facts.checksums_hash == entry.checksums_hash);
  });
}

std::optional<Sidecar> RecordPlaces::MakeAgain(std::size_t file) const {
  const ManifestEntry& entry = files_.manifest.entries()[file];
  const std::string& path = files_.paths[file];
  const std::optional<WalkedFile> walked = WalkPath(path, files_.walk, checksums_);
  if (!walked) return std::nullopt;
  RequireSameRecords(path, entry, walked->facts);
  if (checksums_ && !entry.checksums_hash) {
    throw std::runtime_error(path +
                             ": has no checksums because it was missing when they were created; "
                             "create them with " +
                             SuggestedCommand("shards index --checksum"));
  }
  if (checksums_ && walked->facts.checksums_hash != entry.checksums_hash) {
    throw std::runtime_error(
        path +
        ": its checksums are lost and its bytes have changed since they were created; fetch it "
        "again, or accept its current bytes with " +
        SuggestedCommand("shards index --checksum"));
  }
  return files_.sidecars->Keep(path, entry.name, *walked);
}

}  // namespace fastclip

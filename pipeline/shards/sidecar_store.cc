#include "pipeline/shards/sidecar_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <stdexcept>
#include <utility>
#include <vector>

#include "pipeline/files/atomic_file.h"
#include "pipeline/files/file_system.h"

namespace fastclip {
namespace {

namespace fs = std::filesystem;

std::string PathBeside(const std::string& path) { return path + std::string(kSidecarSuffix); }

/// Makes the folder of sidecars when the first one is written.
void MakeFolder(const std::string& folder) {
  if (mkdir(folder.c_str(), 0777) != 0 && errno != EEXIST) {
    throw std::system_error(errno, std::generic_category(), "making " + folder);
  }
}

/// A sidecar that another user keeps to himself is as good as none.
std::shared_ptr<const RandomAccessFile> OpenIfReadable(const std::string& path) {
  try {
    return OpenFile(path);
  } catch (const std::system_error& error) {
    if (error.code().value() != EACCES && error.code().value() != EPERM) throw;
    return nullptr;
  }
}

UniqueFd OpenUnnamed() {
  std::string path = (fs::temp_directory_path() / "fastclip-XXXXXX").string();
  UniqueFd fd(mkostemp(path.data(), O_CLOEXEC));
  if (!fd || unlink(path.c_str()) != 0) {
    throw std::system_error(errno, std::generic_category(),
                            "creating a temporary index of the shards: " + path);
  }
  return fd;
}

}  // namespace

bool IsNoPlaceToWrite(const std::system_error& error) {
  static constexpr int kErrors[] = {EACCES, EPERM,  EROFS,  ENOENT,      ENOTDIR,
                                    ENOSPC, EDQUOT, EISDIR, ENAMETOOLONG};
  return std::ranges::find(kErrors, error.code().value()) != std::end(kErrors);
}

std::string PlainName(std::string_view text) {
  std::string name;
  for (const char c : text.substr(0, 80)) {
    if (c == '{' || c == '}') continue;
    const bool plain =
        std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '-' || c == ',';
    name += plain ? c : '_';
  }
  return name;
}

/// The hash tells files of one name in several folders apart.
std::string SidecarStore::PathInFolder(const std::string& path, const std::string& name) const {
  return fmt::format("{}/{}-{:016x}{}", folder_, PlainName(fs::path(path).filename().string()),
                     XXH3_64bits(name.data(), name.size()), kSidecarSuffix);
}

std::optional<Sidecar> SidecarStore::Find(const std::string& path, const std::string& name,
                                          const std::function<bool(const FileFacts&)>& fits) const {
  const auto open = [&](const std::string& at) -> std::optional<Sidecar> {
    auto file = OpenIfReadable(at);
    if (file == nullptr) return std::nullopt;
    auto sidecar = Sidecar::Open(std::move(file), 0, kind_);
    return sidecar && fits(sidecar->facts()) ? std::move(sidecar) : std::nullopt;
  };
  // What was kept without a name is in place of a damaged one that could not be replaced.
  if (auto found = FindUnnamed(path); found && fits(found->facts())) return found;
  if (!folder_.empty()) {
    if (auto found = open(PathInFolder(path, name))) return found;
  }
  return open(PathBeside(path));
}

std::optional<Sidecar> SidecarStore::FindUnnamed(const std::string& path) const {
  const MutexLock lock(mutex_);
  const auto found = unnamed_at_.find(path);
  return found == unnamed_at_.end() ? std::nullopt : Sidecar::Open(unnamed_, found->second, kind_);
}

// Not synced: a sidecar that a power cut tears is told by its hashes and made again, and a sync for
// each of 100,000 files would take longer than the walk.
Sidecar SidecarStore::Write(const std::string& path, const std::string& name,
                            const WalkedFile& walked) {
  if (!folder_.empty()) MakeFolder(folder_);
  const std::string at = folder_.empty() ? PathBeside(path) : PathInFolder(path, name);
  // From the look at what is there to the rename nobody else may write it.
  const FolderLock lock(fs::path(at).parent_path().string());
  if (!walked.facts.checksums_hash) {
    auto checked = Find(path, name, [&](const FileFacts& facts) {
      return facts.checksums_hash && facts.IsOfSameFile(walked.facts);
    });
    if (checked && checked->IsWhole(/*with_checksums=*/true)) return std::move(*checked);
  }
  AtomicFile file(at);
  file.Append(PackSidecar(kind_, walked));
  return Sidecar::Open(std::make_shared<const LocalFile>(file.CommitUnsynced(), at), 0, kind_)
      .value();
}

Sidecar SidecarStore::KeepUnnamed(const std::string& path, const WalkedFile& walked) {
  const std::vector<std::byte> bytes = PackSidecar(kind_, walked);
  const MutexLock lock(mutex_);
  if (unnamed_ == nullptr) {
    unnamed_ =
        std::make_shared<const LocalFile>(OpenUnnamed(), "the temporary index of the shards");
  }
  const std::int64_t base = unnamed_bytes_;
  WriteAt(unnamed_->fd(), base, bytes, "the index of " + path);
  unnamed_bytes_ += std::ssize(bytes);
  unnamed_at_[path] = base;
  return Sidecar::Open(unnamed_, base, kind_).value();
}

Sidecar SidecarStore::Keep(const std::string& path, const std::string& name,
                           const WalkedFile& walked) {
  if (read_only_) return KeepUnnamed(path, walked);
  try {
    return Write(path, name, walked);
  } catch (const std::system_error& error) {
    if (!IsNoPlaceToWrite(error)) throw;
    return KeepUnnamed(path, walked);
  }
}

}  // namespace fastclip

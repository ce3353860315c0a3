#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>

#include "pipeline/base/mutex.h"
#include "pipeline/files/local_file.h"
#include "pipeline/shards/sidecar.h"

namespace fastclip {

/// File name suffix of sidecars; globs skip them.
inline constexpr std::string_view kSidecarSuffix = ".fastclip";

/// Whether another folder can help: no permission, no space, no such folder, name too long.
bool IsNoPlaceToWrite(const std::system_error& error);

/// `text` as part of a file name: braces removed, other special characters replaced.
std::string PlainName(std::string_view text);

/// The sidecars of a list's files: next to each file as FILE.fastclip, or all in their own folder.
/// Both places are searched. Thread-safe.
class SidecarStore {
 public:
  /// Empty folder: next to the files. With `read_only`, Keep() writes no named file.
  SidecarStore(std::string folder, FileKind kind, bool read_only = false)
      : folder_(std::move(folder)), kind_(kind), read_only_(read_only) {}

  /// The sidecar of a file (`name` in its manifest) whose facts fit; nothing if there is none. Its
  /// positions are not checked.
  std::optional<Sidecar> Find(const std::string& path, const std::string& name,
                              const std::function<bool(const FileFacts&)>& fits) const;
  /// Writes and opens the sidecar. If another process has stored checksums of the same file and
  /// `walked` has none, the existing sidecar is kept and opened. Throws std::system_error.
  Sidecar Write(const std::string& path, const std::string& name, const WalkedFile& walked);
  /// Like Write(), but if it cannot be written, keeps the sidecar in an unnamed file as long as
  /// this object lives.
  Sidecar Keep(const std::string& path, const std::string& name, const WalkedFile& walked);

 private:
  std::string PathInFolder(const std::string& path, const std::string& name) const;
  std::optional<Sidecar> FindUnnamed(const std::string& path) const;
  Sidecar KeepUnnamed(const std::string& path, const WalkedFile& walked);

  const std::string folder_;  // empty: none
  const FileKind kind_;
  const bool read_only_;
  mutable Mutex mutex_;
  std::shared_ptr<const LocalFile> unnamed_ FASTCLIP_GUARDED_BY(mutex_);
  std::int64_t unnamed_bytes_ FASTCLIP_GUARDED_BY(mutex_) = 0;
  std::unordered_map<std::string, std::int64_t> unnamed_at_
      FASTCLIP_GUARDED_BY(mutex_);  // by the file's path
};

}  // namespace fastclip

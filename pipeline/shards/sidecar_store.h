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

/// Ends the names of sidecars; globs leave them out.
inline constexpr std::string_view kSidecarSuffix = ".fastclip";

/// Whether another folder may help: no permission, no space, no such folder, a name too long.
bool IsNoPlaceToWrite(const std::system_error& error);

/// `text` as part of a file's name: braces left out, any other sign that has a meaning to somebody
/// replaced.
std::string PlainName(std::string_view text);

/// Where the sidecars of a list's files lie: beside each file as FILE.fastclip, or all in a folder
/// of their own. They are looked for in both. Thread-safe.
class SidecarStore {
 public:
  /// Without a folder: beside the files. With `read_only`, Keep() has no place to write to.
  SidecarStore(std::string folder, FileKind kind, bool read_only = false)
      : folder_(std::move(folder)), kind_(kind), read_only_(read_only) {}

  /// The sidecar of a file, called `name` in its manifest, that has the facts that are asked for;
  /// nothing where there is none. Its places are not checked.
  std::optional<Sidecar> Find(const std::string& path, const std::string& name,
                              const std::function<bool(const FileFacts&)>& fits) const;
  /// Writes what was found and opens it. Where another process has left checksums of the same file
  /// meanwhile, and `walked` has none, that one's sidecar stays and is opened. Throws
  /// std::system_error.
  Sidecar Write(const std::string& path, const std::string& name, const WalkedFile& walked);
  /// Write(), or where that has no place: kept as long as this object, in a file without a name.
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

#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "pipeline/files/random_access_file.h"

namespace fastclip {

/// Finds files by name. Thread-safe.
class FileSystem {
 public:
  virtual ~FileSystem() = default;
  /// The file of that name; null if there cannot be one (no such file, not a regular file, name too
  /// long). Throws std::system_error with the name for anything else.
  virtual std::shared_ptr<const RandomAccessFile> Open(const std::string& uri) const = 0;
  /// Its size and time; nothing if it is missing. Throws std::runtime_error with the name if it is
  /// not a regular file or cannot be checked.
  virtual std::optional<FileStamp> Find(const std::string& uri) const = 0;
};

/// Whether a name has the form "SCHEME://…"; all other names are local files.
bool IsUri(std::string_view name);

/// The file system of a name. Throws std::runtime_error for an unknown scheme.
const FileSystem& FileSystemOf(std::string_view name);
/// Whether the scheme is known.
bool HasFileSystem(std::string_view name);

/// FileSystemOf(name).Open(name).
std::shared_ptr<const RandomAccessFile> OpenFile(const std::string& name);

/// Registers `files` for names "SCHEME://…" while it lives. Create and destroy it while no other
/// thread opens files.
class AddedFileSystem {
 public:
  AddedFileSystem(std::string scheme, const FileSystem& files);
  ~AddedFileSystem();
  AddedFileSystem(const AddedFileSystem&) = delete;
  AddedFileSystem& operator=(const AddedFileSystem&) = delete;

 private:
  const std::string scheme_;
};

}  // namespace fastclip

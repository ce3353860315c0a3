#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "pipeline/files/random_access_file.h"

namespace fastclip {

/// Where files are found by name. Thread-safe.
class FileSystem {
 public:
  virtual ~FileSystem() = default;
  /// The file of that name; null where none can be (no such file, no regular file, a name too
  /// long). Throws std::system_error that names it for anything else.
  virtual std::shared_ptr<const RandomAccessFile> Open(const std::string& uri) const = 0;
  /// Its size and time; nothing where it is gone. Throws std::runtime_error that names it where the
  /// name is of something else, or nobody can tell.
  virtual std::optional<FileStamp> Find(const std::string& uri) const = 0;
};

/// Whether a name has the form "SCHEME://…"; all other names are of this machine's files.
bool IsUri(std::string_view name);

/// The file system of a name. Throws std::runtime_error where nobody knows the scheme.
const FileSystem& FileSystemOf(std::string_view name);
/// Whether there is one.
bool HasFileSystem(std::string_view name);

/// FileSystemOf(name).Open(name).
std::shared_ptr<const RandomAccessFile> OpenFile(const std::string& name);

/// Makes the names "SCHEME://…" those of `files` for as long as it lives. Made where no other
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

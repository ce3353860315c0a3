#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "pipeline/files/random_access_file.h"

namespace fastclip {

/// What lies in a folder.
struct FolderEntry {
  /// Links are followed, but a link to anything other than a folder is a file.
  enum class Kind { kFile, kFolder, kBrokenLink, kOther };

  std::string name;  ///< without the folder
  Kind kind = Kind::kFile;
  std::error_code error = {};  ///< if set: why the kind could not be found out
};

/// Identity of a folder: the same for all names of it.
using FolderId = std::pair<std::uint64_t, std::uint64_t>;

/// Finds files by name, and folders where it has any. Thread-safe.
class FileSystem {
 public:
  virtual ~FileSystem() = default;
  /// The file of that name; null if there cannot be one (no such file, not a regular file, name too
  /// long). Throws std::system_error with the name for anything else.
  virtual std::shared_ptr<const RandomAccessFile> Open(const std::string& uri) const = 0;
  /// Its size and time; nothing if it is missing. Throws std::runtime_error with the name if it is
  /// not a regular file or cannot be checked.
  virtual std::optional<FileStamp> Find(const std::string& uri) const = 0;

  /// The folder of that name; nothing if there is none. Throws std::system_error with the name if
  /// it cannot be checked.
  virtual std::optional<FolderId> FindFolder(const std::string& uri) const;
  using Visit = std::function<void(const FolderEntry&)>;
  /// Calls `visit` with each entry of a folder, in no order. Throws std::runtime_error with the
  /// folder if it cannot be read.
  virtual void List(const std::string& folder, const Visit& visit) const;
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

#include "pipeline/files/file_system.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <stdexcept>

#include "pipeline/base/mutex.h"
#include "pipeline/files/local_file.h"

namespace fastclip {
namespace {

struct Added {
  Mutex mutex;
  std::map<std::string, const FileSystem*, std::less<>> by_scheme FASTCLIP_GUARDED_BY(mutex);
};

Added& TheAdded() {
  static Added added;
  return added;
}

/// "" for a file of this machine.
std::string_view SchemeOf(std::string_view name) {
  const std::size_t end = name.find("://");
  if (end == name.npos || end == 0) return {};
  const auto is_of_scheme = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '-' || c == '.';
  };
  return std::ranges::all_of(name.substr(0, end), is_of_scheme) ? name.substr(0, end)
                                                                : std::string_view();
}

/// Null where nobody knows the scheme.
const FileSystem* Find(std::string_view name) {
  const std::string_view scheme = SchemeOf(name);
  if (scheme.empty()) return &LocalFiles();
  Added& added = TheAdded();
  const MutexLock lock(added.mutex);
  const auto found = added.by_scheme.find(scheme);
  return found == added.by_scheme.end() ? nullptr : found->second;
}

}  // namespace

std::optional<FolderId> FileSystem::FindFolder(const std::string& /*uri*/) const {
  return std::nullopt;
}

void FileSystem::List(const std::string& folder, const Visit& /*visit*/) const {
  throw std::runtime_error(fmt::format("{}: folders of this kind cannot be listed", folder));
}

bool IsUri(std::string_view name) { return !SchemeOf(name).empty(); }

bool HasFileSystem(std::string_view name) { return Find(name) != nullptr; }

const FileSystem& FileSystemOf(std::string_view name) {
  if (const FileSystem* files = Find(name)) return *files;
  throw std::runtime_error(
      fmt::format("'{}': {}:// is not supported; copy the files to a local or mounted folder", name,
                  SchemeOf(name)));
}

std::shared_ptr<const RandomAccessFile> OpenFile(const std::string& name) {
  return FileSystemOf(name).Open(name);
}

AddedFileSystem::AddedFileSystem(std::string scheme, const FileSystem& files)
    : scheme_(std::move(scheme)) {
  Added& added = TheAdded();
  const MutexLock lock(added.mutex);
  added.by_scheme[scheme_] = &files;
}

AddedFileSystem::~AddedFileSystem() {
  Added& added = TheAdded();
  const MutexLock lock(added.mutex);
  added.by_scheme.erase(scheme_);
}

}  // namespace fastclip

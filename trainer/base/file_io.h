#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include "pipeline/files/file.h"

namespace fastclip {

/// A file that grows by whole pieces. Not thread-safe.
class AppendFile {
 public:
  enum class Open { kMake, kMakeOrContinue };
  /// Throws std::runtime_error naming the file and the cause, as all that follows does; FileExists
  /// where kMake finds one.
  AppendFile(const std::string& path, Open how);

  const std::string& path() const { return path_; }
  std::int64_t length() const { return length_; }
  /// `bytes` are in the file when this returns. If it throws, the file is as it was.
  void Append(std::string_view bytes);
  /// Cuts the file to its last whole line at or before `length`.
  void CutBackToLine(std::int64_t length);
  /// What is in the file from `offset` on.
  std::string Read(std::int64_t offset) const;
  void Sync();

 private:
  std::string path_;
  UniqueFd fd_;
  std::int64_t length_ = 0;
};

class FileExists : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Writes a whole file as an AtomicFile: a reader, and a crash, find the old bytes or the new.
/// Throws std::runtime_error naming the file and the cause.
void ReplaceFile(const std::string& path, std::string_view bytes);

/// Reads a file of at most `limit` bytes. Throws std::runtime_error naming the file and the cause.
std::string ReadWholeFile(const std::string& path, std::int64_t limit);

/// What tells that a file is whole: its size and the XXH3 hash (64 bits) of its bytes.
struct FileDigest {
  std::int64_t size = 0;
  std::uint64_t xxh3 = 0;
  bool operator==(const FileDigest&) const = default;
};
/// Throws std::runtime_error naming the file and the cause.
FileDigest DigestFile(const std::string& path);
std::uint64_t Xxh3(std::string_view bytes);

}  // namespace fastclip

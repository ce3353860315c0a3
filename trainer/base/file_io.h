#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include "pipeline/files/file.h"

namespace fastclip {

/// An append-only file: each append is written completely or not at all. Not thread-safe.
class AppendFile {
 public:
  enum class Open { kMake, kMakeOrContinue };
  /// Throws FileExists if kMake finds a file. All methods throw std::runtime_error with the file
  /// and the cause.
  AppendFile(const std::string& path, Open how);

  const std::string& path() const { return path_; }
  std::int64_t length() const { return length_; }
  /// `bytes` are in the file when this returns. If it throws, the file is as it was.
  void Append(std::string_view bytes);
  /// Truncates the file to its last complete line at or before `length`.
  void CutBackToLine(std::int64_t length);
  /// The bytes from `offset` to the end.
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

/// Replaces a file atomically: readers see the old bytes or the new, also after a crash.
/// Throws std::runtime_error naming the file and the cause.
void ReplaceFile(const std::string& path, std::string_view bytes);

/// Reads a file of at most `limit` bytes. Throws std::runtime_error naming the file and the cause.
std::string ReadWholeFile(const std::string& path, std::int64_t limit);

/// Size and XXH3 hash (64 bits) of a file, to check that it is complete.
struct FileDigest {
  std::int64_t size = 0;
  std::uint64_t xxh3 = 0;
  bool operator==(const FileDigest&) const = default;
};
/// Throws std::runtime_error naming the file and the cause.
FileDigest DigestFile(const std::string& path);
std::uint64_t Xxh3(std::string_view bytes);

}  // namespace fastclip

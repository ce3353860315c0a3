#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stop_token>
#include <string>
#include <utility>

namespace fastclip {

struct FileStamp {
  std::int64_t size = 0;
  std::int64_t mtime_ns = 0;  ///< since 1970, modulo 2^64: wraps after 2262, but still a stamp
  bool operator==(const FileStamp&) const = default;
};

/// An open file, local or not, with random access. Thread-safe.
class RandomAccessFile {
 public:
  /// `name` is used in messages.
  explicit RandomAccessFile(std::string name) : name_(std::move(name)) {}
  virtual ~RandomAccessFile() = default;
  RandomAccessFile(const RandomAccessFile&) = delete;
  RandomAccessFile& operator=(const RandomAccessFile&) = delete;

  const std::string& name() const { return name_; }
  /// Current size and time of the open file. Throws std::system_error.
  virtual FileStamp Stamp() const = 0;
  /// Like Stamp(), but safe as a cache key: a later write always gets another stamp. Can wait for
  /// that.
  virtual FileStamp SettledStamp() const { return Stamp(); }

  /// Reads up to out.size() bytes at `offset`; fewer only at the end of the file. Transient
  /// failures (EIO, ESTALE, timeouts) are tried four times over one second. Then, or if `stop` is
  /// requested, it throws std::runtime_error with the file (and offset).
  std::size_t Read(std::int64_t offset, std::span<std::byte> out,
                   const std::stop_token& stop = {}) const;

  /// Hint that bytes [begin, end) will be read soon. Never changes a result.
  virtual void Advise(std::int64_t /*begin*/, std::int64_t /*end*/) const {}
  /// The first byte at or after `at` that is not in a hole, or the file's size. Returns `at` if
  /// holes are unknown.
  virtual std::int64_t NextData(std::int64_t at) const { return at; }

 private:
  /// One attempt: reads at least one byte, possibly fewer than requested; 0 only at the end of the
  /// file. Throws std::system_error.
  virtual std::size_t ReadSome(std::int64_t offset, std::span<std::byte> out) const = 0;

  const std::string name_;
};

}  // namespace fastclip

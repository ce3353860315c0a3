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
  std::int64_t mtime_ns = 0;  ///< since 1970, modulo 2^64: after 2262 no time, but still a stamp
  bool operator==(const FileStamp&) const = default;
};

/// A file that is open, wherever it lies: its bytes at any offset. Thread-safe.
class RandomAccessFile {
 public:
  /// `name`: what messages call it.
  explicit RandomAccessFile(std::string name) : name_(std::move(name)) {}
  virtual ~RandomAccessFile() = default;
  RandomAccessFile(const RandomAccessFile&) = delete;
  RandomAccessFile& operator=(const RandomAccessFile&) = delete;

  const std::string& name() const { return name_; }
  /// Size and time of what is open, as they are now. Throws std::system_error.
  virtual FileStamp Stamp() const = 0;
  /// Like Stamp(), but safe as the key of what is read from here on: a later write always gets
  /// another stamp. May wait for that.
  virtual FileStamp SettledStamp() const { return Stamp(); }

  /// Reads up to out.size() bytes at `offset`; fewer only where the file ends. Failures that may
  /// pass (EIO, ESTALE, timeouts) are tried four times over one second; then it throws
  /// std::runtime_error that names file and offset, as it does if `stop` is asked for meanwhile.
  std::size_t Read(std::int64_t offset, std::span<std::byte> out,
                   const std::stop_token& stop = {}) const;

  /// Bytes [begin, end) will be read soon. A hint: what comes of it shows in no result.
  virtual void Advise(std::int64_t /*begin*/, std::int64_t /*end*/) const {}
  /// The first byte at or behind `at` that is not in a hole, or the file's size. A file that does
  /// not know says `at`.
  virtual std::int64_t NextData(std::int64_t at) const { return at; }

 private:
  /// One try: at least one byte, fewer than asked for as it comes; 0 only where the file ends.
  /// Throws std::system_error.
  virtual std::size_t ReadSome(std::int64_t offset, std::span<std::byte> out) const = 0;

  const std::string name_;
};

}  // namespace fastclip

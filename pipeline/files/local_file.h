#pragma once

#include <string>
#include <utility>

#include "pipeline/files/file.h"
#include "pipeline/files/file_system.h"

namespace fastclip {

/// The files of this machine.
const FileSystem& LocalFiles();

/// What a descriptor reads, which somebody else closes.
class DescriptorFile : public RandomAccessFile {
 public:
  DescriptorFile(int fd, std::string name) : RandomAccessFile(std::move(name)), fd_(fd) {}

  int fd() const { return fd_; }
  FileStamp Stamp() const override;
  /// The time of a file is that of its filesystem's clock, which ticks; where the last write fell
  /// into the tick that is now, this waits until that is over (20 ms; 2 s where times are whole
  /// seconds).
  FileStamp SettledStamp() const override;
  /// The kernel fills its cache with them in large requests.
  void Advise(std::int64_t begin, std::int64_t end) const override;
  std::int64_t NextData(std::int64_t at) const override;

 private:
  std::size_t ReadSome(std::int64_t offset, std::span<std::byte> out) const override;

  const int fd_;
};

/// A file of this machine that is open.
class LocalFile final : public DescriptorFile {
 public:
  LocalFile(UniqueFd fd, std::string name)
      : DescriptorFile(fd.get(), std::move(name)), owner_(std::move(fd)) {}

 private:
  const UniqueFd owner_;
};

}  // namespace fastclip

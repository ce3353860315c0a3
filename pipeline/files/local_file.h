#pragma once

#include <string>
#include <utility>

#include "pipeline/files/file.h"
#include "pipeline/files/file_system.h"

namespace fastclip {

/// The files of this machine.
const FileSystem& LocalFiles();

/// A file behind a descriptor that it does not own.
class DescriptorFile : public RandomAccessFile {
 public:
  DescriptorFile(int fd, std::string name) : RandomAccessFile(std::move(name)), fd_(fd) {}

  int fd() const { return fd_; }
  FileStamp Stamp() const override;
  /// File times have the resolution of the filesystem's clock. If the last write was in the current
  /// tick, this waits until the tick is over (20 ms; 2 s if times are whole seconds).
  FileStamp SettledStamp() const override;
  /// The kernel reads them into its cache in large requests.
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

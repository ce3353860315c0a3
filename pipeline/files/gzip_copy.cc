#include "pipeline/files/gzip_copy.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <new>
#include <span>
#include <stdexcept>
#include <system_error>

#include "pipeline/base/ascii.h"
#include "pipeline/files/local_file.h"

namespace fastclip {
namespace {

/// Throws std::system_error.
UniqueFd MakeUnnamed(const std::string& folder) {
  const std::string here = folder.empty() ? "." : folder;
  UniqueFd fd(open(here.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (fd) return fd;
  // Some filesystems have no files without a name.
  std::string path = here + "/fastclip-XXXXXX.tmp";
  constexpr int kSuffix = 4;
  UniqueFd named(mkostemps(path.data(), kSuffix, O_CLOEXEC));
  if (!named || unlink(path.c_str()) != 0)
    throw std::system_error(errno, std::generic_category(),
                            "creating a decompressed copy in " + here);
  return named;
}

/// zlib's stream, closed at the end.
class Inflater {
 public:
  Inflater() {
    constexpr int kGzip = 15 + 16;  // the largest window, gzip's header and checksum
    if (inflateInit2(&stream_, kGzip) != Z_OK) throw std::bad_alloc();
  }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  z_stream& stream() { return stream_; }

 private:
  z_stream stream_{};
};

void Inflate(const RandomAccessFile& file, int out) {
  const std::string& path = file.name();
  constexpr std::size_t kBlock = 1 << 18;
  constexpr std::int64_t kMostStored = std::int64_t{1} << 50;  // its multiple does not overflow
  const std::int64_t size = file.Stamp().size;
  const std::int64_t most = GzipCopy::kSmall + GzipCopy::kMostRatio * std::min(size, kMostStored);
  std::vector<std::byte> in(kBlock), text(kBlock);
  Inflater inflater;
  z_stream& z = inflater.stream();
  std::int64_t read = 0, written = 0;
  int state = Z_OK;
  for (;;) {
    if (z.avail_in == 0) {
      const std::size_t got = file.Read(read, in);
      if (got == 0) break;
      read += static_cast<std::int64_t>(got);
      z.next_in = reinterpret_cast<Bytef*>(in.data());
      z.avail_in = static_cast<uInt>(got);
    }
    if (state == Z_STREAM_END) {
      // Zeros may fill up the file behind its last member; another member may follow.
      while (z.avail_in > 0 && *z.next_in == 0) --z.avail_in, ++z.next_in;
      if (z.avail_in == 0) continue;
      inflateReset(&z);
    }
    do {
      z.next_out = reinterpret_cast<Bytef*>(text.data());
      z.avail_out = kBlock;
      state = inflate(&z, Z_NO_FLUSH);
      if (state != Z_OK && state != Z_STREAM_END && state != Z_BUF_ERROR) {
        throw std::runtime_error(
            fmt::format("{}: not a gzip file, or damaged before byte {} ({}); fetch it again", path,
                        read - z.avail_in, z.msg != nullptr ? z.msg : "zlib error"));
      }
      const std::size_t made = kBlock - z.avail_out;
      WriteAt(out, written, std::span(text).first(made), "the decompressed copy of " + path);
      written += static_cast<std::int64_t>(made);
      if (written > most) {
        throw std::runtime_error(
            fmt::format("{}: decompresses to more than {} times its size; if that is expected, "
                        "decompress it with gunzip",
                        path, GzipCopy::kMostRatio));
      }
    } while (z.avail_out == 0 && state == Z_OK);
  }
  // Between two members nothing but the size tells that the file has become shorter meanwhile.
  if (state != Z_STREAM_END || read < size)
    throw std::runtime_error(path + ": truncated gzip stream; fetch it again");
}

}  // namespace

bool IsGzipName(const std::string& path) {
  return path.size() >= 3 && EqualsInAnyCase(std::string_view(path).substr(path.size() - 3), ".gz");
}

std::shared_ptr<const RandomAccessFile> GzipCopy::Of(const RandomAccessFile& file) {
  const MutexLock lock(mutex_);
  const FileStamp stamp = file.Stamp();
  if (copy_ == nullptr || stamp_ != stamp) {
    copy_ = Make(file);
    stamp_ = stamp;
  }
  return copy_;
}

std::shared_ptr<const RandomAccessFile> GzipCopy::Make(const RandomAccessFile& file) const {
  std::vector<std::string> folders = folders_;
  std::error_code none;
  const std::filesystem::path temporary = std::filesystem::temp_directory_path(none);
  if (!none) folders.push_back(temporary.string());
  for (std::size_t i = 0;; ++i) {
    try {
      auto copy = std::make_shared<const LocalFile>(MakeUnnamed(folders[i]), file.name());
      Inflate(file, copy->fd());
      return copy;
    } catch (const std::system_error&) {
      if (i + 1 == folders.size()) throw;
    }
  }
}

}  // namespace fastclip

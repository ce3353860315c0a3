#include "pipeline/shards/tar_walk.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <vector>

#include "pipeline/shards/tar_gap.h"

namespace fastclip {
namespace {

struct ArchiveDeleter {
  void operator()(archive* a) const { archive_read_free(a); }
};
using ArchivePtr = std::unique_ptr<archive, ArchiveDeleter>;

ArchivePtr NewTarReader() {
  ArchivePtr reader(archive_read_new());
  if (reader == nullptr || archive_read_support_format_tar(reader.get()) != ARCHIVE_OK) {
    throw std::bad_alloc();
  }
  return reader;
}

/// A tar that can be opened anywhere.
class TarInput : public TarBytes {
 public:
  virtual int Open(archive* reader, std::int64_t at) = 0;
  /// Throws what went wrong inside libarchive's calls.
  virtual void Check() const {}
};

class MemoryInput final : public TarInput {
 public:
  explicit MemoryInput(std::span<const std::byte> bytes) : bytes_(bytes) {}

  std::int64_t size() const override { return std::ssize(bytes_); }
  std::span<const std::byte> Read(std::int64_t at, std::size_t most) override {
    const auto rest = bytes_.subspan(static_cast<std::size_t>(std::min(at, size())));
    return rest.first(std::min(most, rest.size()));
  }
  int Open(archive* reader, std::int64_t at) override {
    const auto rest = bytes_.subspan(static_cast<std::size_t>(at));
    return archive_read_open_memory(reader, rest.data(), rest.size());
  }

 private:
  const std::span<const std::byte> bytes_;
};

class FileInput final : public TarInput {
 public:
  explicit FileInput(const RandomAccessFile& file) : file_(file), size_(file.Stamp().size) {}

  std::int64_t size() const override { return size_; }
  std::span<const std::byte> Read(std::int64_t at, std::size_t most) override {
    searched_.resize(std::max(searched_.size(), most));
    const auto out = std::span(searched_).first(most);
    return out.first(file_.Read(at, out));
  }
  std::int64_t NextData(std::int64_t at) override { return std::min(file_.NextData(at), size_); }
  int Open(archive* reader, std::int64_t at) override {
    at_ = at;
    return archive_read_open2(reader, this, nullptr, ReadNext, Skip, nullptr);
  }
  void Check() const override {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  /// No exception may cross libarchive's C frames: one is kept, then thrown again.
  static la_ssize_t ReadNext(archive*, void* data, const void** buffer) {
    FileInput& input = *static_cast<FileInput*>(data);
    try {
      const std::size_t got = input.file_.Read(input.at_, input.buffer_);
      input.at_ += static_cast<std::int64_t>(got);
      *buffer = input.buffer_.data();
      return static_cast<la_ssize_t>(got);
    } catch (...) {
      input.failure_ = std::current_exception();
      return ARCHIVE_FATAL;
    }
  }

  static la_int64_t Skip(archive*, void* data, la_int64_t request) {
    FileInput& input = *static_cast<FileInput*>(data);
    const std::int64_t skipped =
        std::clamp<std::int64_t>(request, 0, std::max<std::int64_t>(0, input.size_ - input.at_));
    input.at_ += skipped;
    return skipped;
  }

  const RandomAccessFile& file_;
  const std::int64_t size_;
  std::int64_t at_ = 0;
  std::exception_ptr failure_;
  // Headers are far apart: a large buffer would read the images between them.
  std::array<std::byte, 4096> buffer_;
  std::vector<std::byte> searched_;
};

std::string_view PathOf(archive_entry* entry) {
  const char* path = archive_entry_pathname(entry);
  if (path == nullptr) path = archive_entry_pathname_utf8(entry);
  return path == nullptr ? std::string_view() : std::string_view(path);
}

// A size from outside; kept where sums with offsets cannot overflow.
constexpr std::int64_t kMaxSize = std::int64_t{1} << 60;

/// The bytes of a sparse member that are in the tar.
std::int64_t StoredBytes(archive_entry* entry) {
  std::int64_t stored = 0;
  la_int64_t offset = 0, length = 0;
  archive_entry_sparse_reset(entry);
  while (archive_entry_sparse_next(entry, &offset, &length) == ARCHIVE_OK) {
    stored = std::min(stored + std::clamp<std::int64_t>(length, 0, kMaxSize), kMaxSize);
  }
  return stored;
}

/// Writes the data of the member whose header was read last.
bool Expand(archive* reader, std::span<std::byte> out) {
  std::ranges::fill(out, std::byte{0});
  for (;;) {
    const void* block = nullptr;
    std::size_t bytes = 0;
    la_int64_t offset = 0;
    const int result = archive_read_data_block(reader, &block, &bytes, &offset);
    if (result == ARCHIVE_EOF) return true;
    if (result != ARCHIVE_OK || offset < 0 || offset > std::ssize(out) ||
        bytes > out.size() - static_cast<std::size_t>(offset)) {
      return false;
    }
    if (bytes > 0) std::memcpy(out.data() + offset, block, bytes);
  }
}

/// Where the walk through one tar stopped.
struct Stop {
  std::int64_t header_at = 0;    ///< of what is no header of a member
  std::int64_t looked_at = 0;    ///< no header is before this
  bool inside_a_member = false;  ///< the file ends within the last one, or its last block
};

/// Visits the members from the header at `base` on.
Stop WalkFrom(TarInput& input, std::int64_t base, std::int64_t& headers,
              const std::function<void(const TarMember&)>& visit) {
  const ArchivePtr reader = NewTarReader();
  std::int64_t end = base;  // of the last member's data
  int result = ARCHIVE_FATAL;
  if (input.Open(reader.get(), base) == ARCHIVE_OK) {
    archive_entry* entry = nullptr;
    for (;;) {
      result = archive_read_next_header(reader.get(), &entry);
      input.Check();
      if (result != ARCHIVE_OK && result != ARCHIVE_WARN) break;
      ++headers;
      TarMember member;
      member.header_at = base + archive_read_header_position(reader.get());
      member.data_at = base + archive_filter_bytes(reader.get(), 0);
      member.size = std::clamp<std::int64_t>(archive_entry_size(entry), 0, kMaxSize);
      const bool is_sparse = archive_entry_sparse_count(entry) > 0;
      member.stored = is_sparse ? StoredBytes(entry) : member.size;
      if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry) != nullptr) {
        end = std::max(end, member.data_at);
        continue;  // a hard link may tell a size that it does not have
      }
      end = member.data_at + member.stored;
      member.path = PathOf(entry);
      if (is_sparse) {
        member.expand = [&](std::span<std::byte> out) { return Expand(reader.get(), out); };
      }
      visit(member);
    }
  }
  input.Check();
  Stop stop;
  // Below 0 where a header was refused: it lies behind the last member.
  const std::int64_t at = archive_read_header_position(reader.get());
  stop.header_at = at >= 0 ? base + at : (end + kTarBlock - 1) / kTarBlock * kTarBlock;
  const std::int64_t read_to = base + archive_filter_bytes(reader.get(), 0);
  // The mark of an end, which was read; before it there may be a label of the tar, no member's.
  if (result == ARCHIVE_EOF) stop.header_at = std::max(stop.header_at, read_to - 2 * kTarBlock);
  // Behind `base` in any case: a header with a true checksum can be of no format.
  stop.looked_at = std::max({stop.header_at + kTarBlock, read_to, base + kTarBlock});
  stop.inside_a_member = (end + kTarBlock - 1) / kTarBlock * kTarBlock > input.size();
  return stop;
}

TarWalk Walk(TarInput& input, const std::function<void(const TarMember&)>& visit) {
  TarWalk walk;
  TarGap gap = FindHeader(input, 0, 0);
  std::int64_t tar = 0;  // where the one begins that is walked through
  for (;;) {
    if (IsDamage(gap, tar, input.size())) {
      walk.damaged += (gap.end - gap.begin + kTarBlock - 1) / kTarBlock;
      if (walk.first_damage.empty()) walk.first_damage = {gap.begin, gap.end};
    }
    if (gap.end >= input.size()) break;
    if (gap.begin < gap.zeros_end) tar = gap.end;
    const Stop stop = WalkFrom(input, gap.end, walk.headers, visit);
    if (stop.inside_a_member) return walk;
    gap = FindHeader(input, stop.header_at, stop.looked_at);
  }
  walk.at_mark = gap.ends_in_zeros;
  return walk;
}

}  // namespace

TarWalk WalkTar(std::span<const std::byte> bytes,
                const std::function<void(const TarMember&)>& visit) {
  MemoryInput input(bytes);
  return Walk(input, visit);
}

TarWalk WalkTar(const RandomAccessFile& file, const std::function<void(const TarMember&)>& visit) {
  FileInput input(file);
  return Walk(input, visit);
}

}  // namespace fastclip

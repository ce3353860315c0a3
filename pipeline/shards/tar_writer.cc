#include "pipeline/shards/tar_writer.h"

#include <archive.h>
#include <archive_entry.h>

#include <exception>
#include <stdexcept>
#include <utility>

#include "pipeline/files/atomic_file.h"

namespace fastclip {
namespace {

struct WriterDeleter {
  void operator()(archive* a) const { archive_write_free(a); }
};
struct EntryDeleter {
  void operator()(archive_entry* entry) const { archive_entry_free(entry); }
};

}  // namespace

struct TarWriter::State {
  explicit State(const std::string& file_path) : path(file_path), file(file_path) {}

  /// libarchive's error, or the one that our callback met.
  void Check(int result) {
    if (failure) std::rethrow_exception(std::exchange(failure, nullptr));
    if (result < ARCHIVE_WARN)
      throw std::runtime_error(path + ": " + archive_error_string(writer.get()));
  }

  static la_ssize_t Write(archive*, void* data, const void* bytes, std::size_t size) {
    State& state = *static_cast<State*>(data);
    try {
      state.file.Append({static_cast<const std::byte*>(bytes), size});
      return static_cast<la_ssize_t>(size);
    } catch (...) {
      state.failure = std::current_exception();
      return ARCHIVE_FATAL;
    }
  }

  std::string path;
  AtomicFile file;
  std::exception_ptr failure;
  std::int64_t members = 0;
  std::unique_ptr<archive, WriterDeleter> writer;  // last: freeing it still writes
};

TarWriter::TarWriter(const std::string& path) : state_(std::make_unique<State>(path)) {
  state_->writer.reset(archive_write_new());
  archive* writer = state_->writer.get();
  if (writer == nullptr) throw std::bad_alloc();
  state_->Check(
      archive_write_set_format_pax_restricted(writer));  // plain ustar where that is enough
  state_->Check(archive_write_set_bytes_per_block(writer, 1 << 20));
  state_->Check(archive_write_set_bytes_in_last_block(writer, 1));
  state_->Check(archive_write_open(writer, state_.get(), nullptr, State::Write, nullptr));
}

TarWriter::~TarWriter() = default;
TarWriter::TarWriter(TarWriter&&) noexcept = default;
TarWriter& TarWriter::operator=(TarWriter&&) noexcept = default;

void TarWriter::Add(std::string_view name, std::span<const std::byte> bytes) {
  const std::unique_ptr<archive_entry, EntryDeleter> entry(archive_entry_new());
  if (entry == nullptr) throw std::bad_alloc();
  archive_entry_set_pathname(entry.get(), std::string(name).c_str());
  archive_entry_set_size(entry.get(), static_cast<la_int64_t>(bytes.size()));
  archive_entry_set_filetype(entry.get(), AE_IFREG);
  archive_entry_set_perm(entry.get(), 0644);
  archive_entry_set_mtime(entry.get(), 0, 0);
  state_->Check(archive_write_header(state_->writer.get(), entry.get()));
  const la_ssize_t put = archive_write_data(state_->writer.get(), bytes.data(), bytes.size());
  state_->Check(put < 0 ? static_cast<int>(put) : ARCHIVE_OK);
  static constexpr std::int64_t kBlock = 512;
  state_->members +=
      kBlock + (static_cast<std::int64_t>(bytes.size()) + kBlock - 1) / kBlock * kBlock;
}

std::int64_t TarWriter::size() const { return state_->members; }

void TarWriter::Close() {
  state_->Check(archive_write_close(state_->writer.get()));
  state_->file.Commit();
  state_.reset();
}

}  // namespace fastclip

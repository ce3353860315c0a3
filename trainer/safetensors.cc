#include "trainer/safetensors.h"

#include <ATen/ATen.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "pipeline/file.h"

namespace fastclip {
namespace {

using Json = nlohmann::ordered_json;

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

// The format's own limit, so that a file of ours is readable everywhere and garbage costs little.
constexpr std::uint64_t kMaxHeader = 100'000'000;

struct Dtype {
  std::string_view name;
  at::ScalarType type;
};
constexpr std::array kDtypes = {Dtype{"F64", at::kDouble}, Dtype{"F32", at::kFloat},
                                Dtype{"F16", at::kHalf},   Dtype{"BF16", at::kBFloat16},
                                Dtype{"I64", at::kLong},   Dtype{"I32", at::kInt},
                                Dtype{"U8", at::kByte},    Dtype{"BOOL", at::kBool}};

[[noreturn]] void Fail(const std::string& path, const std::string& what) {
  throw std::runtime_error(fmt::format("{}: {}", path, what));
}

[[noreturn]] void FailErrno(const std::string& path, const char* doing) {
  const int error = errno;
  Fail(path, fmt::format("cannot {}: {}", doing, std::strerror(error)));
}

class File {
 public:
  File(const std::string& path, int flags)
      : path_(path), fd_(open(path.c_str(), flags | O_CLOEXEC, 0666)) {
    if (fd_ < 0) FailErrno(path, (flags & O_CREAT) != 0 ? "create" : "open");
  }
  ~File() { close(fd_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  std::uint64_t size() const {
    struct stat status;
    if (fstat(fd_, &status) != 0) FailErrno(path_, "stat");
    if (!S_ISREG(status.st_mode)) Fail(path_, "is not a regular file");
    return static_cast<std::uint64_t>(status.st_size);
  }
  void Read(void* to, std::uint64_t count, std::uint64_t offset) const {
    char* out = static_cast<char*>(to);
    while (count > 0) {
      const ssize_t n = pread(fd_, out, count, static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) FailErrno(path_, "read");
      if (n == 0) Fail(path_, "became shorter while it was read");
      out += n, offset += n, count -= n;
    }
  }
  void Write(const void* from, std::uint64_t count) {
    const char* in = static_cast<const char*>(from);
    while (count > 0) {
      const ssize_t n = write(fd_, in, count);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) FailErrno(path_, "write");
      in += n, count -= n;
    }
  }
  void Sync() {
    if (fsync(fd_) != 0) FailErrno(path_, "sync");
  }

 private:
  const std::string& path_;
  int fd_;
};

// Removes a file unless it was kept.
class Partial {
 public:
  explicit Partial(std::string path) : path_(std::move(path)) {}
  ~Partial() {
    if (!path_.empty()) unlink(path_.c_str());
  }
  void Keep() { path_.clear(); }

 private:
  std::string path_;
};

std::string_view NameOf(const std::string& path, const std::string& tensor, at::ScalarType type) {
  for (const Dtype& dtype : kDtypes) {
    if (dtype.type == type) return dtype.name;
  }
  Fail(path, fmt::format("tensor '{}' has the type {}, which is not written", tensor,
                         c10::toString(type)));
}

at::ScalarType TypeOf(const std::string& path, const std::string& tensor, const Json& name) {
  for (const Dtype& dtype : kDtypes) {
    if (name == dtype.name) return dtype.type;
  }
  Fail(path, fmt::format("tensor '{}' has the type {}, which is not read", tensor, name.dump()));
}

// The header of garbage may be anything: nothing of it is deeper than {name: {"shape": [n]}}.
Json ParseHeader(const std::string& path, const std::string& text) {
  try {
    return Json::parse(text, [&](int depth, Json::parse_event_t, Json&) {
      if (depth > 3) Fail(path, "is no safetensors file: its header is nested too deeply");
      return true;
    });
  } catch (const Json::exception&) {
    Fail(path, "is no safetensors file: its header is not JSON");
  }
}

// Of a tensor's bytes, behind the header.
struct Range {
  std::uint64_t begin, end;
};

std::pair<SafetensorsReader::Entry, Range> ParseEntry(const std::string& path,
                                                      const std::string& name, const Json& json,
                                                      std::uint64_t data_size) {
  const auto bad = [&](const char* what) {
    Fail(path, fmt::format("tensor '{}': {}", name, what));
  };
  if (!json.is_object() || !json.contains("dtype") || !json.contains("shape") ||
      !json.contains("data_offsets")) {
    bad("its header entry lacks dtype, shape or data_offsets");
  }
  SafetensorsReader::Entry entry{name, TypeOf(path, name, json["dtype"]), {}};
  const Json &shape = json["shape"], &offsets = json["data_offsets"];
  if (!shape.is_array() || shape.size() > 16) bad("its shape is no list of up to 16 sizes");
  constexpr std::uint64_t kMost = std::numeric_limits<std::int64_t>::max() / 8;
  std::uint64_t elements = 1,
                bound = 1;  // bound: zero sizes left out, so that strides cannot overflow
  for (const Json& size : shape) {
    if (!size.is_number_unsigned()) bad("a size of its shape is no whole number");
    const auto n = size.get<std::uint64_t>();
    if (n > kMost / bound) bad("its shape is too large");
    bound *= std::max<std::uint64_t>(n, 1);
    elements *= n;
    entry.shape.push_back(static_cast<std::int64_t>(n));
  }
  if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
      !offsets[1].is_number_unsigned()) {
    bad("its data_offsets are no two whole numbers");
  }
  const Range range{offsets[0].get<std::uint64_t>(), offsets[1].get<std::uint64_t>()};
  if (range.begin > range.end || range.end > data_size)
    bad("its data lie outside the file; is it cut off?");
  if (range.end - range.begin != elements * c10::elementSize(entry.type)) {
    bad("its shape and data_offsets differ in size");
  }
  return {std::move(entry), range};
}

// No byte may belong to two tensors or to none: a file with either was not written as safetensors.
void CheckCoverage(const std::string& path, std::vector<Range> ranges, std::uint64_t data_size) {
  std::ranges::sort(ranges, [](const Range& a, const Range& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::uint64_t reached = 0;
  for (const auto& [begin, end] : ranges) {
    if (begin != reached) Fail(path, "its tensors overlap or leave a gap");
    reached = end;
  }
  if (reached != data_size) {
    Fail(path,
         fmt::format("holds {} bytes of data where its header tells of {}", data_size, reached));
  }
}

}  // namespace

void WriteSafetensors(const std::string& path, const NamedTensors& tensors,
                      const std::map<std::string, std::string>& metadata) {
  // Wide elements first keeps every tensor aligned; the header keeps the caller's order.
  std::vector<std::size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return tensors[a].second.element_size() > tensors[b].second.element_size();
  });
  std::vector<std::uint64_t> begin(tensors.size());
  std::uint64_t reached = 0;
  for (const std::size_t i : order) {
    begin[i] = reached;
    reached += tensors[i].second.numel() * tensors[i].second.element_size();
  }
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const auto& [name, tensor] = tensors[i];
    if (name == "__metadata__" || header.contains(name)) {
      Fail(path, fmt::format("two tensors are called '{}', or the name is reserved", name));
    }
    header[name] = {
        {"dtype", NameOf(path, name, tensor.scalar_type())},
        {"shape", tensor.sizes().vec()},
        {"data_offsets", {begin[i], begin[i] + tensor.numel() * tensor.element_size()}}};
  }
  std::string text = header.dump(-1, ' ', false, Json::error_handler_t::replace);
  text.append((8 - text.size() % 8) % 8, ' ');
  const std::uint64_t length = text.size();
  if (length > kMaxHeader) Fail(path, "its header would exceed the format's 100 MB");

  const std::string aside = path + ".tmp";
  Partial partial(aside);
  {
    File file(aside, O_WRONLY | O_CREAT | O_TRUNC);
    file.Write(&length, sizeof(length));
    file.Write(text.data(), text.size());
    for (const std::size_t i : order) {
      const at::Tensor dense = tensors[i].second.detach().to(at::kCPU).contiguous();
      file.Write(dense.const_data_ptr(), dense.nbytes());
    }
    file.Sync();
  }
  if (std::rename(aside.c_str(), path.c_str()) != 0) FailErrno(path, "rename onto");
  partial.Keep();
  SyncFolder(std::filesystem::path(path).parent_path());
}

struct SafetensorsReader::Contents {
  explicit Contents(const std::string& name) : path(name), file(path, O_RDONLY) {}

  std::string path;
  File file;
  std::uint64_t data = 0;  // where the tensors begin
  std::map<std::string, std::string> metadata;
  std::vector<Entry> entries;
  std::vector<Range> ranges;  // one an entry
};

namespace {

/// The header's text.
std::string ReadHeader(const File& file, const std::string& path, std::uint64_t size) {
  std::uint64_t length = 0;
  if (size < sizeof(length)) Fail(path, "is no safetensors file: it is shorter than 8 bytes");
  file.Read(&length, sizeof(length), 0);
  if (length > size - sizeof(length) || length > kMaxHeader) {
    Fail(path,
         fmt::format(
             "is cut off or no safetensors file: it tells of a header of {} bytes in a file of {}",
             length, size));
  }
  std::string text(length, '\0');
  file.Read(text.data(), length, sizeof(length));
  return text;
}

}  // namespace

SafetensorsReader::SafetensorsReader(const std::string& path) {
  auto contents = std::make_unique<Contents>(path);
  const std::uint64_t size = contents->file.size();
  const std::string text = ReadHeader(contents->file, path, size);
  const Json header = ParseHeader(path, text);
  if (!header.is_object()) Fail(path, "is no safetensors file: its header is no JSON object");

  contents->data = sizeof(std::uint64_t) + text.size();
  for (const auto& [name, json] : header.items()) {
    if (name != "__metadata__") {
      auto [entry, range] = ParseEntry(path, name, json, size - contents->data);
      contents->entries.push_back(std::move(entry));
      contents->ranges.push_back(range);
      continue;
    }
    if (!json.is_object()) Fail(path, "its __metadata__ is no JSON object");
    for (const auto& [key, value] : json.items()) {
      if (!value.is_string())
        Fail(path, fmt::format("the value of '{}' in its __metadata__ is no text", key));
      contents->metadata[key] = value.get<std::string>();
    }
  }
  CheckCoverage(path, contents->ranges, size - contents->data);
  contents_ = std::move(contents);
}

SafetensorsReader::~SafetensorsReader() = default;
SafetensorsReader::SafetensorsReader(SafetensorsReader&&) noexcept = default;

const std::map<std::string, std::string>& SafetensorsReader::metadata() const {
  return contents_->metadata;
}

const std::vector<SafetensorsReader::Entry>& SafetensorsReader::entries() const {
  return contents_->entries;
}

at::Tensor SafetensorsReader::Read(std::size_t entry) const {
  const Entry& from = contents_->entries.at(entry);
  at::Tensor tensor = at::empty(from.shape, at::TensorOptions(from.type));
  contents_->file.Read(tensor.mutable_data_ptr(), tensor.nbytes(),
                       contents_->data + contents_->ranges[entry].begin);
  return tensor;
}

void SafetensorsReader::ReadRows(std::size_t entry, std::int64_t first, std::int64_t count,
                                 void* to) const {
  const Range& range = contents_->ranges.at(entry);
  const auto rows = static_cast<std::uint64_t>(contents_->entries[entry].shape.at(0));
  if (rows == 0) return;
  const std::uint64_t bytes = (range.end - range.begin) / rows;  // a row's
  contents_->file.Read(to, static_cast<std::uint64_t>(count) * bytes,
                       contents_->data + range.begin + static_cast<std::uint64_t>(first) * bytes);
}

at::Tensor SafetensorsReader::ReadRows(std::size_t entry,
                                       std::span<const std::int64_t> rows) const {
  const Entry& from = contents_->entries.at(entry);
  std::vector<std::int64_t> shape = from.shape;
  shape.at(0) = std::ssize(rows);
  at::Tensor read = at::empty(shape, at::TensorOptions(from.type));
  auto* const to = static_cast<char*>(read.mutable_data_ptr());
  const std::size_t bytes = rows.empty() ? 0 : read.nbytes() / rows.size();
  for (std::size_t i = 0, next = 0; i < rows.size(); i = next) {
    for (next = i + 1; next < rows.size() && rows[next] == rows[next - 1] + 1;) ++next;
    ReadRows(entry, rows[i], static_cast<std::int64_t>(next - i), to + i * bytes);
  }
  return read;
}

SafetensorsFile ReadSafetensors(const std::string& path) {
  const SafetensorsReader reader(path);
  SafetensorsFile result{.tensors = {}, .metadata = reader.metadata()};
  for (std::size_t i = 0; i < reader.entries().size(); ++i) {
    result.tensors.emplace_back(reader.entries()[i].name, reader.Read(i));
  }
  return result;
}

}  // namespace fastclip

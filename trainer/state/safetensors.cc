#include "trainer/state/safetensors.h"

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
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <span>
#include <stdexcept>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "pipeline/files/atomic_file.h"
#include "trainer/state/foreign_weights.h"

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
  explicit File(const std::string& path)
      : path_(path), fd_(OpenWithRetries(path, O_RDONLY | O_NONBLOCK)) {
    if (!fd_) FailErrno(path, "open");
  }

  std::uint64_t size() const {
    struct stat status;
    if (fstat(fd_.get(), &status) != 0) FailErrno(path_, "stat");
    if (!S_ISREG(status.st_mode)) Fail(path_, "is not a regular file");
    return static_cast<std::uint64_t>(status.st_size);
  }
  void Read(void* to, std::uint64_t count, std::uint64_t offset) const {
    char* out = static_cast<char*>(to);
    while (count > 0) {
      const ssize_t n = pread(fd_.get(), out, count, static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) FailErrno(path_, "read");
      if (n == 0) Fail(path_, "became shorter while it was read");
      out += n, offset += n, count -= n;
    }
  }

 private:
  const std::string& path_;
  UniqueFd fd_;
};

std::string_view NameOf(const std::string& path, const std::string& tensor, at::ScalarType type) {
  for (const Dtype& dtype : kDtypes) {
    if (dtype.type == type) return dtype.name;
  }
  Fail(path, fmt::format("tensor '{}' has the type {}, which is not written", tensor,
                         c10::toString(type)));
}

at::ScalarType TypeOf(const std::string& path, const std::string& tensor, const std::string& name) {
  for (const Dtype& dtype : kDtypes) {
    if (name == dtype.name) return dtype.type;
  }
  Fail(path, fmt::format("tensor '{}' has the type \"{}\", which is not read", tensor, name));
}

/// What the header says of a tensor, before it is compared with the file.
struct HeaderEntry {
  std::string name;
  std::optional<std::string> dtype;
  std::optional<std::vector<std::uint64_t>> shape, offsets;
};

/// The header as it is parsed: {NAME: {"dtype": "F32", "shape": [n], "data_offsets": [a, b]}} and
/// "__metadata__": {KEY: TEXT}. Events in place of a tree: one pass, whatever the header holds.
class HeaderReader {
 public:
  explicit HeaderReader(const std::string& path) : path_(path) {}

  std::vector<HeaderEntry> entries;
  std::map<std::string, std::string> metadata;

  // The events of nlohmann's SAX interface.
  bool null() { return Value("null"); }
  bool boolean(bool) { return Value("true or false"); }
  bool number_integer(std::int64_t) { return Value("a number below 0"); }
  bool number_float(double, const std::string&) { return Value("a fraction"); }
  bool binary(std::vector<std::uint8_t>&) { return Value("bytes"); }
  bool number_unsigned(std::uint64_t number) {
    if (list_ == nullptr) return Value("a number");
    if (list_->size() == kMostSizes) Bad(fmt::format("lists more than {} numbers", kMostSizes));
    list_->push_back(number);
    return true;
  }
  bool string(std::string& text) {
    if (depth_ == 2 && in_metadata_ && list_ == nullptr) {
      metadata[key_] = text;
    } else if (depth_ == 2 && list_ == nullptr && key_ == "dtype") {
      entries.back().dtype = text;
    } else {
      return Value("a text");
    }
    return true;
  }
  bool start_object(std::size_t) { return ++depth_ <= 2 || TooDeep(); }
  bool end_object() {
    --depth_;
    in_metadata_ = false;
    return true;
  }
  bool key(std::string& name) {
    key_ = name;
    if (depth_ != 1) return true;
    if (name.size() > kLongestName) {
      Fail(path_, fmt::format("a tensor's name has {} bytes, at most {} are read", name.size(),
                              kLongestName));
    }
    in_metadata_ = name == "__metadata__";
    if (in_metadata_) return true;
    if (entries.size() == kMostTensors) {
      Fail(path_, fmt::format("has more than {} tensors", kMostTensors));
    }
    entries.push_back({.name = name, .dtype = {}, .shape = {}, .offsets = {}});
    return true;
  }
  bool start_array(std::size_t) {
    if (list_ != nullptr) TooDeep();
    if (depth_ != 2 || in_metadata_ || (key_ != "shape" && key_ != "data_offsets")) {
      return Value("a list");
    }
    list_ = &(key_ == "shape" ? entries.back().shape : entries.back().offsets).emplace();
    return true;
  }
  bool end_array() {
    list_ = nullptr;
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception&) {
    Fail(path_, "is not a safetensors file: its header is not JSON");
  }

 private:
  static constexpr std::size_t kMostSizes = 16, kLongestName = 4096, kMostTensors = 1'000'000;

  [[noreturn]] void Bad(const std::string& what) const {
    Fail(path_,
         fmt::format("tensor '{}': {} {}", entries.empty() ? "" : entries.back().name, key_, what));
  }
  [[noreturn]] bool TooDeep() const {
    Fail(path_, "is not a safetensors file: its header is nested too deeply");
  }
  /// A value where the format has another kind, or none.
  [[noreturn]] bool Value(const char* kind) const {
    if (depth_ == 0) Fail(path_, "is not a safetensors file: its header is not a JSON object");
    if (in_metadata_ && depth_ == 1) Fail(path_, "its __metadata__ is not a JSON object");
    if (in_metadata_) {
      Fail(path_, fmt::format("the value of '{}' in its __metadata__ is not a text", key_));
    }
    if (depth_ == 1) {
      Fail(path_, fmt::format("tensor '{}': its header entry is not a JSON object", key_));
    }
    Bad(fmt::format("is {}", kind));
  }

  const std::string& path_;
  int depth_ = 0;
  bool in_metadata_ = false;
  std::string key_;
  std::vector<std::uint64_t>* list_ = nullptr;
};

/// Numbers of a shape; `bound` leaves zero sizes out, so that strides cannot overflow.
std::uint64_t Elements(const std::string& path, const HeaderEntry& entry) {
  constexpr std::uint64_t kMost = std::numeric_limits<std::int64_t>::max() / 8;
  std::uint64_t elements = 1, bound = 1;
  for (const std::uint64_t size : *entry.shape) {
    if (size > kMost / bound)
      Fail(path, fmt::format("tensor '{}': shape is too large", entry.name));
    bound *= std::max<std::uint64_t>(size, 1);
    elements *= size;
  }
  return elements;
}

SafetensorsEntry CheckedEntry(const std::string& path, const HeaderEntry& header,
                              std::uint64_t data, std::uint64_t data_size) {
  const auto bad = [&](const char* what) {
    Fail(path, fmt::format("tensor '{}': {}", header.name, what));
  };
  if (!header.dtype || !header.shape || !header.offsets) {
    bad("its header entry lacks dtype, shape or data_offsets");
  }
  if (header.offsets->size() != 2) bad("its data_offsets are not two numbers");
  SafetensorsEntry entry{.name = header.name, .type = TypeOf(path, header.name, *header.dtype)};
  const std::uint64_t bytes = Elements(path, header) * c10::elementSize(entry.type);
  entry.shape.assign(header.shape->begin(), header.shape->end());
  const std::uint64_t begin = (*header.offsets)[0], end = (*header.offsets)[1];
  if (begin > end || end > data_size) bad("its data lie outside the file; is it cut off?");
  if (end - begin != bytes) bad("its shape and data_offsets differ in size");
  entry.offset = data + begin;
  entry.bytes = bytes;
  return entry;
}

/// No byte may belong to two tensors or to none: a file with either was not written as safetensors.
void CheckCoverage(const std::string& path, const std::vector<SafetensorsEntry>& entries,
                   std::uint64_t data, std::uint64_t file_size) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
  ranges.reserve(entries.size());
  for (const SafetensorsEntry& entry : entries) {
    ranges.emplace_back(entry.offset, entry.offset + entry.bytes);
  }
  std::sort(ranges.begin(), ranges.end());
  std::uint64_t reached = data;
  for (const auto& [begin, end] : ranges) {
    if (begin != reached) Fail(path, "its tensors overlap or leave a gap");
    reached = end;
  }
  if (reached != file_size) {
    Fail(path, fmt::format("holds {} bytes of data where its header gives {}", file_size - data,
                           reached - data));
  }
}

void CheckNames(const std::string& path, const std::vector<SafetensorsEntry>& entries) {
  std::unordered_set<std::string_view> names;
  for (const SafetensorsEntry& entry : entries) {
    if (names.insert(entry.name).second) continue;
    Fail(path, fmt::format("two tensors are called '{}'", entry.name));
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
  std::unordered_set<std::string_view> names = {"__metadata__"};
  auto& members = header.get_ref<Json::object_t&>();
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const auto& [name, tensor] = tensors[i];
    if (!names.insert(name).second) {
      Fail(path, fmt::format("two tensors are called '{}', or the name is reserved", name));
    }
    // Not header[name], which looks through all that are there.
    members.push_back(
        {name,
         {{"dtype", NameOf(path, name, tensor.scalar_type())},
          {"shape", tensor.sizes().vec()},
          {"data_offsets", {begin[i], begin[i] + tensor.numel() * tensor.element_size()}}}});
  }
  std::string text = header.dump(-1, ' ', false, Json::error_handler_t::replace);
  text.append((8 - text.size() % 8) % 8, ' ');
  const std::uint64_t length = text.size();
  if (length > kMaxHeader) Fail(path, "its header would exceed the format's 100 MB");

  AtomicFile file(path);
  file.Append(std::as_bytes(std::span(&length, 1)));
  file.Append(std::as_bytes(std::span(text)));
  for (const std::size_t i : order) {
    const at::Tensor dense = tensors[i].second.detach().to(at::kCPU).contiguous();
    file.Append({static_cast<const std::byte*>(dense.const_data_ptr()), dense.nbytes()});
  }
  file.Commit();
}

struct SafetensorsReader::Impl {
  explicit Impl(const std::string& name) : path(name), file(path) {}

  std::string path;  // before `file`, which refers to it
  File file;
};

SafetensorsReader::SafetensorsReader(const std::string& path)
    : impl_(std::make_unique<Impl>(path)) {
  const std::uint64_t size = impl_->file.size();
  std::uint64_t length = 0;
  if (size < sizeof(length)) Fail(path, "is not a safetensors file: it is shorter than 8 bytes");
  impl_->file.Read(&length, sizeof(length), 0);
  std::string text(std::min<std::uint64_t>(size, 64), '\0');
  impl_->file.Read(text.data(), text.size(), 0);
  if (const std::string other = OtherFormat(path, text); !other.empty()) {
    throw std::runtime_error(other);
  }
  if (length > size - sizeof(length) || length > kMaxHeader) {
    Fail(path,
         fmt::format(
             "is cut off or not a safetensors file: it gives a header of {} bytes in a file of {}",
             length, size));
  }
  text.resize(length);
  impl_->file.Read(text.data(), length, sizeof(length));
  HeaderReader header(impl_->path);
  nlohmann::json::sax_parse(text, &header);
  const std::uint64_t data = sizeof(length) + length;
  entries_.reserve(header.entries.size());
  for (const HeaderEntry& entry : header.entries) {
    entries_.push_back(CheckedEntry(path, entry, data, size - data));
  }
  CheckNames(path, entries_);
  CheckCoverage(path, entries_, data, size);
  metadata_ = std::move(header.metadata);
}

SafetensorsReader::~SafetensorsReader() = default;
SafetensorsReader::SafetensorsReader(SafetensorsReader&&) noexcept = default;

at::Tensor SafetensorsReader::Read(const SafetensorsEntry& entry) const {
  at::Tensor tensor = at::empty(entry.shape, at::TensorOptions(entry.type));
  impl_->file.Read(tensor.mutable_data_ptr(), tensor.nbytes(), entry.offset);
  return tensor;
}

void SafetensorsReader::ReadRows(const SafetensorsEntry& entry, std::int64_t first,
                                 std::int64_t count, void* to) const {
  const auto rows = static_cast<std::uint64_t>(entry.shape.at(0));
  if (rows == 0) return;
  const std::uint64_t bytes = entry.bytes / rows;  // a row's
  impl_->file.Read(to, static_cast<std::uint64_t>(count) * bytes,
                   entry.offset + static_cast<std::uint64_t>(first) * bytes);
}

at::Tensor SafetensorsReader::ReadRows(const SafetensorsEntry& entry,
                                       std::span<const std::int64_t> rows) const {
  std::vector<std::int64_t> shape = entry.shape;
  shape.at(0) = std::ssize(rows);
  at::Tensor read = at::empty(shape, at::TensorOptions(entry.type));
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
  for (const SafetensorsEntry& entry : reader.entries()) {
    result.tensors.emplace_back(entry.name, reader.Read(entry));
  }
  return result;
}

}  // namespace fastclip

#include "trainer/state/safetensors_header.h"

#include <c10/core/ScalarType.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <unordered_set>
#include <utility>

namespace fastclip {
namespace {

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

at::ScalarType TypeOf(const std::string& path, const std::string& tensor, const std::string& name) {
  for (const Dtype& dtype : kDtypes) {
    if (name == dtype.name) return dtype.type;
  }
  Fail(path, fmt::format("tensor '{}': unsupported dtype \"{}\"", tensor, name));
}

/// A tensor's header entry, not yet checked against the file.
struct HeaderEntry {
  std::string name;
  std::optional<std::string> dtype;
  std::optional<std::vector<std::uint64_t>> shape, offsets;
};

/// SAX parser of the header: {NAME: {"dtype": "F32", "shape": [n], "data_offsets": [a, b]}} and
/// "__metadata__": {KEY: TEXT}. Needs one pass and no tree, whatever the header holds.
class HeaderReader {
 public:
  explicit HeaderReader(const std::string& path) : path_(path) {}

  std::vector<HeaderEntry> entries;
  std::map<std::string, std::string> metadata;

  // The events of nlohmann's SAX interface.
  bool null() { return Value("null"); }
  bool boolean(bool) { return Value("a boolean"); }
  bool number_integer(std::int64_t) { return Value("a negative number"); }
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
      return Value("a string");
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
      Fail(path_,
           fmt::format("a tensor name has {} bytes; the limit is {}", name.size(), kLongestName));
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
    Fail(path_, "is not a safetensors file: the header is not JSON");
  }

 private:
  static constexpr std::size_t kMostSizes = 16, kLongestName = 4096, kMostTensors = 1'000'000;

  [[noreturn]] void Bad(const std::string& what) const {
    Fail(path_,
         fmt::format("tensor '{}': {} {}", entries.empty() ? "" : entries.back().name, key_, what));
  }
  [[noreturn]] bool TooDeep() const {
    Fail(path_, "is not a safetensors file: the header is nested too deeply");
  }
  /// Fails on a value that the format does not have here.
  [[noreturn]] bool Value(const char* kind) const {
    if (depth_ == 0) Fail(path_, "is not a safetensors file: the header is not a JSON object");
    if (in_metadata_ && depth_ == 1) Fail(path_, "__metadata__ is not a JSON object");
    if (in_metadata_) {
      Fail(path_, fmt::format("__metadata__: the value of '{}' is not a string", key_));
    }
    if (depth_ == 1) {
      Fail(path_, fmt::format("tensor '{}': header entry is not a JSON object", key_));
    }
    Bad(fmt::format("is {}", kind));
  }

  const std::string& path_;
  int depth_ = 0;
  bool in_metadata_ = false;
  std::string key_;
  std::vector<std::uint64_t>* list_ = nullptr;
};

/// Number of elements of a shape; `bound` ignores zero sizes, so that strides cannot overflow.
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
    bad("header entry without dtype, shape or data_offsets");
  }
  if (header.offsets->size() != 2) bad("data_offsets are not two numbers");
  SafetensorsEntry entry{.name = header.name, .type = TypeOf(path, header.name, *header.dtype)};
  const std::uint64_t bytes = Elements(path, header) * c10::elementSize(entry.type);
  entry.shape.assign(header.shape->begin(), header.shape->end());
  const std::uint64_t begin = (*header.offsets)[0], end = (*header.offsets)[1];
  if (begin > end || end > data_size) bad("data is outside the file; the file may be truncated");
  if (end - begin != bytes) bad("shape and data_offsets differ in size");
  entry.offset = data + begin;
  entry.bytes = bytes;
  return entry;
}

/// Every byte must belong to exactly one tensor, as in any valid safetensors file.
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
    if (begin != reached) Fail(path, "tensors overlap or leave a gap");
    reached = end;
  }
  if (reached != file_size) {
    Fail(path, fmt::format("has {} bytes of data, but its header lists {}", file_size - data,
                           reached - data));
  }
}

void CheckNames(const std::string& path, const std::vector<SafetensorsEntry>& entries) {
  std::unordered_set<std::string_view> names;
  for (const SafetensorsEntry& entry : entries) {
    if (names.insert(entry.name).second) continue;
    Fail(path, fmt::format("duplicate tensor name '{}'", entry.name));
  }
}

}  // namespace

std::string_view DtypeName(const std::string& path, const std::string& tensor,
                           at::ScalarType type) {
  for (const Dtype& dtype : kDtypes) {
    if (dtype.type == type) return dtype.name;
  }
  Fail(path, fmt::format("tensor '{}': unsupported dtype {}", tensor, c10::toString(type)));
}

SafetensorsHeader ParseSafetensorsHeader(const std::string& path, std::string_view json,
                                         std::uint64_t data, std::uint64_t file_size) {
  HeaderReader reader(path);
  nlohmann::json::sax_parse(json, &reader);
  SafetensorsHeader header{.entries = {}, .metadata = std::move(reader.metadata)};
  header.entries.reserve(reader.entries.size());
  for (const HeaderEntry& entry : reader.entries) {
    header.entries.push_back(CheckedEntry(path, entry, data, file_size - data));
  }
  CheckNames(path, header.entries);
  CheckCoverage(path, header.entries, data, file_size);
  return header;
}

}  // namespace fastclip

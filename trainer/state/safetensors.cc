#include "trainer/state/safetensors.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <nlohmann/json.hpp>
#include <numeric>
#include <span>
#include <stdexcept>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "pipeline/files/atomic_file.h"
#include "trainer/base/read_only_file.h"
#include "trainer/state/foreign_weights.h"
#include "trainer/state/safetensors_header.h"

namespace fastclip {
namespace {

using Json = nlohmann::ordered_json;

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

[[noreturn]] void Fail(const std::string& path, const std::string& what) {
  throw std::runtime_error(fmt::format("{}: {}", path, what));
}

}  // namespace

void WriteSafetensors(const std::string& path, const NamedTensors& tensors,
                      const std::map<std::string, std::string>& metadata,
                      const std::stop_token& stop) {
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
      Fail(path, fmt::format("duplicate or reserved tensor name '{}'", name));
    }
    // Not header[name], which searches all members.
    members.push_back(
        {name,
         {{"dtype", DtypeName(path, name, tensor.scalar_type())},
          {"shape", tensor.sizes().vec()},
          {"data_offsets", {begin[i], begin[i] + tensor.numel() * tensor.element_size()}}}});
  }
  std::string text = header.dump(-1, ' ', false, Json::error_handler_t::replace);
  text.append((8 - text.size() % 8) % 8, ' ');
  const std::uint64_t length = text.size();
  if (length > kMostHeaderBytes) Fail(path, "header would exceed the format's limit of 100 MB");

  AtomicFile file(path);
  file.Append(std::as_bytes(std::span(&length, 1)));
  file.Append(std::as_bytes(std::span(text)));
  for (const std::size_t i : order) {
    if (stop.stop_requested()) Fail(path, "given up");
    const at::Tensor dense = tensors[i].second.detach().to(at::kCPU).contiguous();
    file.Append({static_cast<const std::byte*>(dense.const_data_ptr()), dense.nbytes()});
  }
  file.Commit();
}

struct SafetensorsReader::Impl {
  explicit Impl(const std::string& path) : file(path) {}

  ReadOnlyFile file;
};

SafetensorsReader::SafetensorsReader(const std::string& path)
    : impl_(std::make_unique<Impl>(path)) {
  const std::uint64_t size = impl_->file.size();
  std::uint64_t length = 0;
  if (size < sizeof(length)) Fail(path, "is not a safetensors file: shorter than 8 bytes");
  impl_->file.Read(&length, sizeof(length), 0);
  std::string text(std::min<std::uint64_t>(size, 64), '\0');
  impl_->file.Read(text.data(), text.size(), 0);
  if (const std::string other = OtherFormat(path, text); !other.empty()) {
    throw std::runtime_error(other);
  }
  if (length > size - sizeof(length) || length > kMostHeaderBytes) {
    Fail(path,
         fmt::format(
             "is truncated or not a safetensors file: header of {} bytes in a file of {} bytes",
             length, size));
  }
  text.resize(length);
  impl_->file.Read(text.data(), length, sizeof(length));
  const std::uint64_t data = sizeof(length) + length;
  SafetensorsHeader header = ParseSafetensorsHeader(path, text, data, size);
  entries_ = std::move(header.entries);
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

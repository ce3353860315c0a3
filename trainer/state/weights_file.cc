#include "trainer/state/weights_file.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <string_view>

namespace fastclip {
namespace {

bool IsFinite(const at::Tensor& tensor) {
  return !at::isFloatingType(tensor.scalar_type()) || tensor.isfinite().all().item<bool>();
}

std::string PrefixOf(const std::vector<SafetensorsEntry>& entries) {
  std::string prefix;
  for (bool longer = !entries.empty(); longer;) {
    longer = false;
    for (const std::string_view more : {"module.", "_orig_mod."}) {
      const std::string with = prefix + std::string(more);
      if (!std::ranges::all_of(entries, [&](auto& e) { return e.name.starts_with(with); }))
        continue;
      prefix = with;
      longer = true;
    }
  }
  return prefix;
}

}  // namespace

std::string FirstNotFinite(const NamedTensors& tensors) {
  const auto bad =
      std::ranges::find_if_not(tensors, [](const auto& named) { return IsFinite(named.second); });
  return bad == tensors.end() ? "" : bad->first;
}

WeightsFile::WeightsFile(const std::string& path)
    : path_(path), reader_(path), prefix_(PrefixOf(reader_.entries())) {
  for (const SafetensorsEntry& entry : reader_.entries()) {
    if (!c10::isFloatingType(entry.type) && !entry.name.ends_with("num_batches_tracked")) {
      throw std::runtime_error(
          fmt::format("{}: tensor {} has dtype {}, but weights must be floating-point; the file "
                      "may be quantized",
                      path, entry.name, c10::toString(entry.type)));
    }
    shapes_.push_back({entry.name.substr(prefix_.size()), entry.shape});
  }
}

std::string WeightsFile::DescribePrefix() const {
  if (prefix_.empty()) return "";
  return fmt::format("{}: stripped the prefix '{}' of its tensor names", path_, prefix_);
}

std::optional<double> WeightsFile::Number(const std::string& name) const {
  const auto found = std::ranges::find(reader_.entries(), prefix_ + name, &SafetensorsEntry::name);
  if (found == reader_.entries().end()) return std::nullopt;
  const at::Tensor tensor = reader_.Read(*found);
  if (tensor.numel() != 1) return std::nullopt;
  if (!IsFinite(tensor)) {
    throw std::runtime_error(fmt::format("{}: {} is {}", path_, name, tensor.item<double>()));
  }
  return tensor.item<double>();
}

NamedTensors WeightsFile::Read() const {
  NamedTensors tensors;
  for (const SafetensorsEntry& entry : reader_.entries()) {
    tensors.emplace_back(entry.name.substr(prefix_.size()), reader_.Read(entry));
    if (IsFinite(tensors.back().second)) continue;
    throw std::runtime_error(fmt::format(
        "{}: tensor {} holds a NaN or an infinity: its training diverged, or the file is damaged; "
        "use another file",
        path_, entry.name));
  }
  return tensors;
}

}  // namespace fastclip

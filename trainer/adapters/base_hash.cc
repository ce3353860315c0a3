#include "trainer/adapters/base_hash.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <span>
#include <vector>

#include "trainer/base/sha256.h"

namespace fastclip {
namespace {

std::string DigestOf(const at::Tensor& tensor) {
  const at::Tensor values =
      tensor.detach().to(at::TensorOptions(at::kCPU).dtype(at::kFloat)).contiguous();
  Sha256 hash;
  hash.Add({static_cast<const std::byte*>(values.const_data_ptr()), values.nbytes()});
  return hash.Hex();
}

}  // namespace

std::string BaseHash(const NamedTensors& tensors) {
  std::map<std::string, at::Tensor> sorted;
  for (const auto& [name, tensor] : tensors) {
    if (at::isFloatingType(tensor.scalar_type()) && name != "logit_bias") sorted[name] = tensor;
  }
  const std::vector<std::pair<std::string, at::Tensor>> in_order(sorted.begin(), sorted.end());
  std::vector<std::string> digests(in_order.size());
  at::parallel_for(0, std::ssize(in_order), 1, [&](std::int64_t first, std::int64_t last) {
    for (auto i = static_cast<std::size_t>(first); i < static_cast<std::size_t>(last); ++i) {
      digests[i] = DigestOf(in_order[i].second);
    }
  });
  std::string lines;
  for (std::size_t i = 0; i < in_order.size(); ++i) {
    const auto& [name, tensor] = in_order[i];
    const bool one = tensor.numel() == 1;
    lines += fmt::format("{} {} {}\n", name,
                         one ? "" : fmt::format("{}", fmt::join(tensor.sizes(), "x")), digests[i]);
  }
  Sha256 hash;
  hash.Add(std::as_bytes(std::span(lines)));
  return hash.Hex();
}

std::string BaseHash(const ClipModel& model) {
  NamedTensors all = model.parameters();
  all.insert(all.end(), model.buffers().begin(), model.buffers().end());
  return BaseHash(all);
}

}  // namespace fastclip

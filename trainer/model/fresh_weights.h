#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/base/named_tensors.h"

namespace fastclip {

/// Makes the parameters of a model one by one, as leaves that require a gradient.
///
/// The numbers of a tensor are a function of the seed, its name and its shape: neither the order of
/// the calls nor threads nor the machine's vector width change them, and float32 weights are the
/// rounded float64 ones.
///
/// On at::kMeta tensors have a shape and no memory, and nothing is drawn.
class FreshWeights {
 public:
  /// A seed with which all weights are zero: for what does not depend on them.
  static constexpr std::uint64_t kZero = ~std::uint64_t{0};

  using Shape = std::vector<std::int64_t>;

  FreshWeights(std::uint64_t seed, at::ScalarType dtype, at::Device device = at::kCPU)
      : seed_(seed), dtype_(dtype), device_(device) {}

  at::Tensor Normal(const std::string& name, const Shape& shape, double deviation);
  at::Tensor Uniform(const std::string& name, const Shape& shape, double bound);  ///< in ±bound
  at::Tensor Constant(const std::string& name, const Shape& shape, double value);

  /// What is saved with the parameters but not trained: no gradient, written by its owner.
  at::Tensor Buffer(const std::string& name, const Shape& shape, double value);
  at::Tensor Counter(const std::string& name);  ///< 0-d int64, 0

  /// Parameters made so far, in the order of the calls.
  NamedTensors& made() { return made_; }
  /// Buffers and counters made so far.
  NamedTensors& buffers() { return buffers_; }

 private:
  template <class Draw>
  at::Tensor Fill(const std::string& name, const Shape& shape, const Draw& draw);
  at::Tensor Keep(const std::string& name, at::Tensor values);

  std::uint64_t seed_;
  at::ScalarType dtype_;
  at::Device device_;
  NamedTensors made_, buffers_;
};

}  // namespace fastclip

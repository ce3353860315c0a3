#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/base/named_tensors.h"
#include "trainer/base/parameter.h"

namespace fastclip {

/// Creates the parameters of a model one by one, as leaves that require a gradient.
///
/// The values of a tensor depend only on the seed, its name and its shape, not on the order of
/// calls, threads or the machine's vector width. float32 weights are the rounded float64 ones.
///
/// On at::kMeta, tensors have a shape but no memory, and nothing is drawn.
class FreshWeights {
 public:
  /// A seed that makes all weights zero, for use where values do not matter.
  static constexpr std::uint64_t kZero = ~std::uint64_t{0};

  using Shape = std::vector<std::int64_t>;

  FreshWeights(std::uint64_t seed, at::ScalarType dtype, at::Device device = at::kCPU)
      : seed_(seed), dtype_(dtype), device_(device) {}

  /// Sets Parameter::tower and part of the parameters created from now on.
  FreshWeights& At(Tower tower, std::int64_t part = 0);

  at::Tensor Normal(const std::string& name, const Shape& shape, double deviation,
                    Role role = Role::kMatrix);
  at::Tensor Uniform(const std::string& name, const Shape& shape, double bound,  ///< in ±bound
                     Role role = Role::kMatrix);
  at::Tensor Constant(const std::string& name, const Shape& shape, double value, Role role);
  at::Tensor Copy(const std::string& name, const at::Tensor& values, Role role);

  /// A tensor that is saved but not trained: no gradient, written by its owner.
  at::Tensor Buffer(const std::string& name, const Shape& shape, double value);
  at::Tensor Counter(const std::string& name);  ///< 0-d int64, 0

  /// Parameters created so far, in call order.
  std::vector<Parameter>& made() { return made_; }
  /// Buffers and counters created so far.
  NamedTensors& buffers() { return buffers_; }

 private:
  template <class Draw>
  at::Tensor Fill(const std::string& name, const Shape& shape, Role role, const Draw& draw);
  at::Tensor Keep(const std::string& name, Role role, at::Tensor values);

  std::uint64_t seed_;
  at::ScalarType dtype_;
  at::Device device_;
  Tower tower_ = Tower::kNeither;
  std::int64_t part_ = 0;
  std::vector<Parameter> made_;
  NamedTensors buffers_;
};

}  // namespace fastclip

#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/base/named_tensors.h"
#include "trainer/base/parameter.h"

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

  /// Where the parameters that are made from now on belong: Parameter's tower and part.
  FreshWeights& At(Tower tower, std::int64_t part = 0);

  at::Tensor Normal(const std::string& name, const Shape& shape, double deviation,
                    Role role = Role::kMatrix);
  at::Tensor Uniform(const std::string& name, const Shape& shape, double bound,  ///< in ±bound
                     Role role = Role::kMatrix);
  at::Tensor Constant(const std::string& name, const Shape& shape, double value, Role role);

  /// What is saved with the parameters but not trained: no gradient, written by its owner.
  at::Tensor Buffer(const std::string& name, const Shape& shape, double value);
  at::Tensor Counter(const std::string& name);  ///< 0-d int64, 0

  /// Parameters made so far, in the order of the calls.
  std::vector<Parameter>& made() { return made_; }
  /// Buffers and counters made so far.
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

#include "trainer/model/fresh_weights.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>

#include "pipeline/base/counter_random.h"

namespace fastclip {
namespace {

// FNV-1a: names to keys.
constexpr std::uint64_t KeyOf(std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return hash;
}

// Box and Muller's two independent normals from two uniforms, handed out in turn.
class NormalDraw {
 public:
  double operator()(CounterRandom& random) {
    if (has_second_) {
      has_second_ = false;
      return second_;
    }
    const double radius = std::sqrt(-2 * std::log1p(-random.Uniform()));
    const double angle = 2 * std::numbers::pi * random.Uniform();
    second_ = radius * std::sin(angle);
    has_second_ = true;
    return radius * std::cos(angle);
  }

 private:
  double second_ = 0;
  bool has_second_ = false;
};

}  // namespace

FreshWeights& FreshWeights::At(Tower tower, std::int64_t part) {
  tower_ = tower;
  part_ = part;
  return *this;
}

template <class Draw>
at::Tensor FreshWeights::Fill(const std::string& name, const Shape& shape, Role role,
                              const Draw& draw) {
  if (seed_ == kZero || device_ == at::kMeta) {
    return Keep(name, role, at::zeros(shape, at::TensorOptions(dtype_).device(device_)));
  }
  CounterRandom random(Mix(seed_, KeyOf(name)));
  at::Tensor values = at::empty(shape, at::kDouble);
  double* out = values.mutable_data_ptr<double>();
  for (std::int64_t i = 0; i < values.numel(); ++i) out[i] = draw(random);
  return Keep(name, role, values);
}

at::Tensor FreshWeights::Normal(const std::string& name, const Shape& shape, double deviation,
                                Role role) {
  NormalDraw normal;
  return Fill(name, shape, role, [&](CounterRandom& random) { return deviation * normal(random); });
}

at::Tensor FreshWeights::Uniform(const std::string& name, const Shape& shape, double bound,
                                 Role role) {
  return Fill(name, shape, role,
              [&](CounterRandom& random) { return bound * (2 * random.Uniform() - 1); });
}

at::Tensor FreshWeights::Constant(const std::string& name, const Shape& shape, double value,
                                  Role role) {
  return Keep(name, role, at::full(shape, value, at::kDouble));
}

at::Tensor FreshWeights::Copy(const std::string& name, const at::Tensor& values, Role role) {
  return Keep(name, role, values.detach().clone());
}

at::Tensor FreshWeights::Buffer(const std::string& name, const Shape& shape, double value) {
  buffers_.emplace_back(name, at::full(shape, value, at::TensorOptions(dtype_).device(device_)));
  return buffers_.back().second;
}

at::Tensor FreshWeights::Counter(const std::string& name) {
  buffers_.emplace_back(name, at::zeros({}, at::TensorOptions(at::kLong).device(device_)));
  return buffers_.back().second;
}

at::Tensor FreshWeights::Keep(const std::string& name, Role role, at::Tensor values) {
  at::Tensor leaf = values.to(device_, dtype_).requires_grad_();
  made_.push_back({name, leaf, tower_, role, part_});
  return leaf;
}

}  // namespace fastclip

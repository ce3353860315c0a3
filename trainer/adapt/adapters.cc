// Bottleneck adapters: beside a branch (U-Tuning) and behind the MLP.

#include <ATen/ATen.h>

#include "trainer/adapt/branch_parts.h"

namespace fastclip {
namespace {

struct Bottleneck {
  at::Tensor down_weight, down_bias;  // [r, width], [r]
  at::Tensor up_weight, up_bias;      // [width, r], [width]

  /// GELU is the exact one, also in a tower with QuickGELU.
  at::Tensor Inner(const at::Tensor& x) const {
    return at::gelu(at::linear(x, down_weight, down_bias));
  }
  std::vector<at::Tensor> parameters() const {
    return {down_weight, down_bias, up_weight, up_bias};
  }
};

struct BottleneckOptions {
  std::int64_t r;
  bool zero;
};

BottleneckOptions ReadBottleneck(TunerSettings& settings) {
  return {settings.Integer("r", 10, 1, 1 << 16),
          settings.Choice("init", {"zero", "paper"}) == "zero"};
}

Bottleneck MakeBottleneck(const TunerPlace& at, const BottleneckOptions& options) {
  const std::int64_t width = at.width(), r = options.r;
  const auto bias = [&](std::string_view name, std::int64_t size) {
    return at.weights.Normal(at.Name(name), {size}, 1e-6, Role::kAdded);
  };
  const auto zeros = [&](std::string_view name, const FreshWeights::Shape& shape) {
    return at.weights.Constant(at.Name(name), shape, 0, Role::kAdded);
  };
  // Braces: evaluated in order.
  return Bottleneck{
      XavierUniform(at, "down.weight", r, width), bias("down.bias", r),
      options.zero ? zeros("up.weight", {width, r}) : XavierUniform(at, "up.weight", width, r),
      options.zero ? zeros("up.bias", {width}) : bias("up.bias", width)};
}

class ParallelAdapter : public BranchTuner {
 public:
  ParallelAdapter(Bottleneck maps, TunerScale scale, BranchNorm norm)
      : maps_(std::move(maps)), scale_(std::move(scale)), norm_(norm) {}

  std::vector<at::Tensor> parameters() const override {
    std::vector<at::Tensor> all = maps_.parameters();
    for (const at::Tensor& of : scale_.parameters()) all.push_back(of);
    return all;
  }
  bool needs_all_rows() const override { return scale_.depends_on_input(); }

  at::Tensor Delta(const TransformerBlock& block, const BranchInput& input) const override {
    const at::Tensor inner = maps_.Inner(Normed(norm_, block, input.x));
    return scale_.Result(at::linear(inner, scale_.Map(maps_.up_weight), scale_.Map(maps_.up_bias)),
                         input);
  }

 private:
  Bottleneck maps_;
  TunerScale scale_;
  BranchNorm norm_;
};

class SequentialAdapter : public LinearTuner {
 public:
  explicit SequentialAdapter(Bottleneck maps) : maps_(std::move(maps)) {}

  std::vector<at::Tensor> parameters() const override { return maps_.parameters(); }

  at::Tensor Add(const at::Tensor&, at::Tensor y) const override {
    return at::linear(maps_.Inner(y), maps_.up_weight, maps_.up_bias).add_(y);
  }

 private:
  Bottleneck maps_;
};

}  // namespace

/// s ⊙ (up(GELU(down(x)))) beside MHA, MLP or the block (U-Tuning). init: zero starts `up` at zero;
/// paper has Xavier's weights and biases of deviation 1e-6.
AttachTuner ReadParallelAdapter(TunerSettings& settings) {
  const BottleneckOptions options = ReadBottleneck(settings);
  const ScaleKind scale = ReadScale(settings);
  const bool post_norm = ReadPostNorm(settings);
  return [=](const TunerPlace& at) {
    Bottleneck maps = MakeBottleneck(at, options);
    at.branch().push_back(std::make_shared<ParallelAdapter>(std::move(maps), TunerScale(scale, at),
                                                            NormAt(at.site, post_norm)));
  };
}

/// y + up(GELU(down(y))) on the MLP's result y (https://arxiv.org/abs/1902.00751).
AttachTuner ReadAdapter(TunerSettings& settings) {
  const BottleneckOptions options = ReadBottleneck(settings);
  return [=](const TunerPlace& at) {
    at.block.c_proj.tuners.push_back(
        std::make_shared<SequentialAdapter>(MakeBottleneck(at, options)));
  };
}

}  // namespace fastclip

#include "trainer/adapt/branch_parts.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>

namespace fastclip {
namespace {

/// of [places] → [places]: the mean over the real places of each sequence, at each of its places.
at::Tensor MeanOfSequence(const at::Tensor& of, const BranchInput& input) {
  std::vector<at::Tensor> means;
  std::int64_t place = 0, sequence = 0;
  for (const SequenceGroup& group : input.groups) {
    const at::Tensor rows =
        of.narrow(0, place, group.places()).view({group.sequences, group.length});
    at::Tensor mean;  // [sequences, 1]
    if (input.last.defined()) {
      const at::Tensor last = input.last.narrow(0, sequence, group.sequences).unsqueeze(1);
      const at::Tensor real = at::arange(group.length, last.options()).le(last);
      mean = (rows * real).sum(1, true) / (last + 1);
    } else {
      mean = rows.mean(1, true);
    }
    means.push_back(mean.expand({group.sequences, group.length}).reshape({-1}));
    place += group.places();
    sequence += group.sequences;
  }
  return at::cat(means);
}

}  // namespace

bool ReadPostNorm(TunerSettings& settings) {
  return settings.Choice("input", {"pre", "post_norm"}) == "post_norm";
}

BranchNorm NormAt(const Site& site, bool post_norm) {
  if (!post_norm) return BranchNorm::kNone;
  return site.place == "ffn" ? BranchNorm::kSecond : BranchNorm::kFirst;
}

at::Tensor Normed(BranchNorm norm, const TransformerBlock& block, const at::Tensor& x) {
  if (norm == BranchNorm::kNone) return x;
  return norm == BranchNorm::kFirst ? block.ln_1(x) : block.ln_2(x);
}

void RefuseZeroStart(TunerSettings& settings, std::string_view reason) {
  if (settings.Choice("init", {"paper", "zero"}) == "zero") {
    settings.Fail(
        fmt::format("it cannot start without an effect, since {}; leave out init=zero, or "
                    "use a parallel form (p_prefix, p_prompt)",
                    reason));
  }
}

at::Tensor XavierUniform(const TunerPlace& at, std::string_view name, std::int64_t rows,
                         std::int64_t columns) {
  return at.weights.Uniform(at.Name(name), {rows, columns},
                            std::sqrt(6 / static_cast<double>(rows + columns)), Role::kAdded);
}

ScaleKind ReadScale(TunerSettings& settings) {
  const std::string name = settings.Choice("scale", {"channel", "none", "scalar", "input"});
  if (name == "none") return ScaleKind::kNone;
  if (name == "scalar") return ScaleKind::kScalar;
  return name == "channel" ? ScaleKind::kChannel : ScaleKind::kInput;
}

TunerScale::TunerScale(ScaleKind kind, const TunerPlace& at, double start) {
  const std::int64_t width = at.width();
  if (kind == ScaleKind::kScalar || kind == ScaleKind::kChannel) {
    const std::int64_t size = kind == ScaleKind::kScalar ? 1 : width;
    factor_ = at.weights.Constant(at.Name("scale"), {size}, start, Role::kAdded);
  }
  if (kind == ScaleKind::kInput) {
    const double bound = std::sqrt(6 / static_cast<double>(width + 1));
    weight_ = at.weights.Uniform(at.Name("scale_w"), {width}, bound, Role::kAdded);
    bias_ = at.weights.Constant(at.Name("scale_b"), {1}, 0, Role::kAdded);
  }
}

at::Tensor TunerScale::Map(const at::Tensor& map) const {
  if (!factor_.defined()) return map;
  return map.dim() == 2 ? map * factor_.unsqueeze(1) : map * factor_;
}

at::Tensor TunerScale::Result(const at::Tensor& t, const BranchInput& input) const {
  if (!weight_.defined()) return t;
  const at::Tensor open =
      at::sigmoid(at::linear(t, weight_.unsqueeze(0), bias_).to(weight_.scalar_type()));
  return t * MeanOfSequence(open.view({-1}), input).to(t.scalar_type()).unsqueeze(1);
}

std::vector<at::Tensor> TunerScale::parameters() const {
  std::vector<at::Tensor> all;
  for (const at::Tensor& of : {factor_, weight_, bias_}) {
    if (of.defined()) all.push_back(of);
  }
  return all;
}

}  // namespace fastclip

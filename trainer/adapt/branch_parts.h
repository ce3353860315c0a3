#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "trainer/adapt/kinds.h"
#include "trainer/adapt/settings.h"
#include "trainer/model/tuner.h"

namespace fastclip {

/// What a U-Tuner's branch reads: the residual stream itself, or behind a norm of the block.
enum class BranchNorm : std::uint8_t { kNone, kFirst, kSecond };

/// Setting input: pre or post_norm, which is LN1 at mha and block, LN2 at ffn.
bool ReadPostNorm(TunerSettings& settings);
BranchNorm NormAt(const Site& site, bool post_norm);
at::Tensor Normed(BranchNorm norm, const TransformerBlock& block, const at::Tensor& x);

/// Setting init of a kind that has an effect from the start: paper alone. Fails at zero, as
/// `reason`.
void RefuseZeroStart(TunerSettings& settings, std::string_view reason);

/// A tensor [rows, columns] that starts as torch's xavier_uniform_.
at::Tensor XavierUniform(const TunerPlace& at, std::string_view name, std::int64_t rows,
                         std::int64_t columns);

enum class ScaleKind : std::uint8_t { kNone, kScalar, kChannel, kInput };

/// Setting scale; channel by default, as in the paper's best rows.
ScaleKind ReadScale(TunerSettings& settings);

/// s of a U-Tuner's result s ⊙ T. Scalar and channel: learned. Input: the mean of σ(w·T + b) over
/// the real places of a sequence.
class TunerScale {
 public:
  /// Makes its parameters; scalar and channel start at `start`.
  TunerScale(ScaleKind kind, const TunerPlace& at, double start = 1);

  /// The last map of T, [width, ·] or [width], times a learned s. So s costs no activation.
  at::Tensor Map(const at::Tensor& map) const;
  /// T [rows, width] times an s that depends on the input.
  at::Tensor Result(const at::Tensor& t, const BranchInput& input) const;
  bool depends_on_input() const { return weight_.defined(); }
  std::vector<at::Tensor> parameters() const;

 private:
  at::Tensor factor_;         // [1] or [width]
  at::Tensor weight_, bias_;  // [width], [1]
};

}  // namespace fastclip

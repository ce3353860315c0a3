#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "trainer/adapt/kinds.h"
#include "trainer/model/dropout.h"
#include "trainer/model/tuner.h"

namespace fastclip {

/// The settings of a tuner of the kind lora.
struct LoraOptions {
  std::int64_t r = 8;  ///< rank
  double alpha = 16;
  bool rslora = false;
  double dropout = 0;

  double scaling() const;  ///< alpha / r, with rslora alpha / √r
};
LoraOptions ReadLoraOptions(TunerSettings& settings);

/// LoRA (https://arxiv.org/abs/2106.09685): y + scaling · B A x on output rows first … first + out.
/// A [r, in], B [out, r], PEFT's shapes.
struct LoraPair {
  at::Tensor a, b;
  double scaling = 1;
  std::int64_t first = 0;
  double dropout = 0;                            ///< of x, in training alone
  std::shared_ptr<const DropoutKey> of_model{};  ///< where dropout > 0
  std::uint64_t site = 0;                        ///< a key of the pair's name

  /// scaling · B A x, of x behind its dropout.
  at::Tensor Delta(const at::Tensor& x) const;
};

/// A pair of a matrix [out, in]. Fails if r is larger.
LoraPair MakeLoraPair(const TunerPlace& at, const LoraOptions& options, std::int64_t out,
                      std::int64_t in);

/// The pairs of one linear map: of in_proj one each for q, k and v, on rows of their own.
class LoraTuner : public LinearTuner {
 public:
  explicit LoraTuner(std::vector<LoraPair> pairs) : pairs_(std::move(pairs)) {}

  std::vector<at::Tensor> parameters() const override;
  at::Tensor Add(const at::Tensor& x, at::Tensor y) const override;
  std::shared_ptr<const LinearTuner> Rows(std::int64_t first, std::int64_t count) const override;

 private:
  std::vector<LoraPair> pairs_;
};

}  // namespace fastclip

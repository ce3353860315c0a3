#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "trainer/model/clip_model.h"
#include "trainer/model/fresh_weights.h"

namespace fastclip {

/// What a class head reads of an image.
enum class HeadInput : std::uint8_t {
  kPooled,    ///< ClipModel::EncodePooled()
  kFeatures,  ///< the normalized features, which class names are compared with
};
/// That of adapt.head: "linear" or "zeroshot". Throws std::invalid_argument.
HeadInput HeadInputOf(const std::string& head);
/// Its width in a model.
std::int64_t HeadWidth(HeadInput input, const ModelConfig& model);

inline constexpr const char* kHeadWeight = "head.weight";
inline constexpr const char* kHeadBias = "head.bias";

/// A linear map from an image to the scores of its classes, for cross-entropy.
struct ClassHead {
  at::Tensor weight;  ///< [classes, width]
  at::Tensor bias;    ///< [classes]

  std::int64_t classes() const { return weight.size(0); }
  /// [b, classes] in the head's own type.
  at::Tensor Scores(const at::Tensor& input) const;
};

/// Makes the parameters of a head: zero, so that all classes are alike at first.
void AddClassHead(FreshWeights& weights, const ModelConfig& model, HeadInput input,
                  std::int64_t classes);
/// That among the tensors of a model (ClipModel::added) or an adapter; undefined tensors without.
ClassHead HeadOf(const NamedTensors& tensors);
/// What a head reads: the pass of an image tower.
at::Tensor EncodeFor(HeadInput input, const ClipModel& model, const at::Tensor& images,
                     TowerMode mode = TowerMode::kEvaluate, const at::Tensor& kept_patches = {});

}  // namespace fastclip

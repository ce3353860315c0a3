#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>
#include <vector>

#include "trainer/model/batch_norm.h"
#include "trainer/model/clip_model.h"
#include "trainer/model/linear.h"

namespace fastclip {

/// OpenCLIP's ModifiedResNet, the image tower of RN50, RN101 and RN50x4: a stem of three
/// convolutions, four stages of bottleneck blocks that average-pool before downsampling, and
/// attention pooling.
class ModifiedResNet {
 public:
  /// Creates its weights and running statistics under "visual.".
  ModifiedResNet(FreshWeights& weights, const ModelConfig& config);

  /// Unnormalized features [b, embed_dim] of images [b, 3, size, size]; fastest if they are
  /// channels_last. kTrain writes the running statistics.
  at::Tensor Forward(const at::Tensor& images, TowerMode mode) const;
  /// Normalizes over the rows of all ranks in training; all must then run Forward. Borrowed.
  void SyncOver(Communicator& comm) { comm_ = &comm; }

 private:
  // A convolution without bias, followed by a batch norm.
  struct ConvNorm {
    ConvNorm(FreshWeights& weights, const std::string& conv, const std::string& norm,
             std::int64_t out, std::int64_t in, std::int64_t kernel, double gain = 1);
    at::Tensor operator()(const at::Tensor& x, const NormScope& scope,
                          std::int64_t stride = 1) const;

    at::Tensor weight;  // [out, in, kernel, kernel]
    BatchNorm norm;
  };
  struct Bottleneck {
    Bottleneck(FreshWeights& weights, const std::string& name, std::int64_t in, std::int64_t planes,
               std::int64_t stride);
    at::Tensor operator()(const at::Tensor& x, const NormScope& scope) const;

    std::int64_t stride;
    ConvNorm first, second, third;
    std::optional<ConvNorm> downsample;  // of the shortcut, where sizes change
  };
  struct AttentionPool {
    AttentionPool(FreshWeights& weights, const std::string& name, std::int64_t side,
                  std::int64_t width, std::int64_t heads, std::int64_t out);
    // [b, width, side, side] → [b, out]: the mean position attends to itself and all positions.
    at::Tensor operator()(const at::Tensor& x) const;

    std::int64_t heads;
    at::Tensor positional_embedding;  // [side² + 1, width]
    Linear k_proj, q_proj, v_proj, c_proj;
  };

  static std::vector<Bottleneck> MakeBlocks(FreshWeights& weights, const VisionConfig& config);

  ConvNorm stem_1_, stem_2_, stem_3_;
  std::vector<Bottleneck> blocks_;
  AttentionPool attnpool_;
  Communicator* comm_ = nullptr;
};

}  // namespace fastclip

#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "trainer/base/named_tensors.h"
#include "trainer/base/parameter.h"
#include "trainer/model/caption_groups.h"
#include "trainer/model/lock.h"
#include "trainer/model/tower_mode.h"
#include "trainer/model/weights_fit.h"

namespace fastclip {

/// ResNet tower: pooled channels as a multiple of width, and stride in pixels.
constexpr std::int64_t kResNetExpansion = 32, kResNetShrink = 32;

/// The image tower, a ViT or a ResNet (OpenCLIP's "vision_cfg").
struct VisionConfig {
  std::int64_t image_size = 224;
  std::int64_t patch_size = 32;  ///< ViT only
  std::int64_t width = 768;      ///< ResNet: channels after the stem
  std::int64_t layers = 12;      ///< ViT only
  std::int64_t head_width = 64;
  double mlp_ratio = 4;  ///< ViT only
  /// Blocks of each of the four stages of a ResNet; empty: a ViT. Configs write both as `layers`.
  std::vector<std::int64_t> resnet_layers{};

  bool is_resnet() const { return !resnet_layers.empty(); }
  /// Patches per image (ViT).
  std::int64_t patches() const { return (image_size / patch_size) * (image_size / patch_size); }
};

/// The text tower ("text_cfg").
struct TextConfig {
  std::int64_t context_length = 77;
  std::int64_t vocab_size = 49408;
  std::int64_t width = 512;
  std::int64_t heads = 8;
  std::int64_t layers = 12;
  double mlp_ratio = 4;
};

struct ModelConfig {
  std::string name = "ViT-B-32";
  std::int64_t embed_dim = 512;
  bool quick_gelu = false;
  VisionConfig vision;
  TextConfig text;
  /// Set for the sigmoid loss: the model has a logit_bias that starts here.
  std::optional<double> init_logit_bias;
};

/// Throws std::invalid_argument with the reason: the patch size does not divide the image size,
/// heads do not divide the width, a ResNet's image size is not a multiple of 32, a size is not
/// positive.
void CheckModelConfig(const ModelConfig& config);

class Transformer;
struct DropoutKey;

/// Both towers and `logit_scale`, with OpenCLIP's parameter names, shapes and initialization.
class ClipModel {
 public:
  /// Initializes the weights, which depend only on `seed`. `init_temperature` is τ. Throws
  /// std::invalid_argument for an invalid config or lock.
  ClipModel(const ModelConfig& config, std::uint64_t seed, double init_temperature,
            at::ScalarType dtype, const LockOptions& lock = {}, at::Device device = at::kCPU);
  ClipModel(ClipModel&&) noexcept;
  ~ClipModel();

  const ModelConfig& config() const;
  /// All parameters, also locked ones, in OpenCLIP's state_dict order, as saved. With what tuners
  /// train of them, but without what tuners add.
  const NamedTensors& parameters() const;
  /// The same with tower, role and part of each.
  const std::vector<Parameter>& described() const;
  /// Those that require a gradient, in the same order.
  const NamedTensors& trainable() const;
  /// Buffers of the state_dict: the running statistics of a ResNet.
  const NamedTensors& buffers() const;
  at::Tensor logit_scale() const;  ///< 0-d, t = ln(1/τ)
  at::Tensor logit_bias() const;   ///< 0-d; undefined without ModelConfig::init_logit_bias

  /// Names and shapes of parameters and buffers, for CheckWeightsFit().
  std::vector<NamedShape> shapes() const;
  /// Copies tensors by name into parameters and buffers; tuners that train a part of them start
  /// from it. Throws like CheckWeightsFit(), before it copies anything.
  void Load(const NamedTensors& tensors, const std::string& where);

  /// The transformer of a tower, to attach tuners to; null for a ResNet.
  Transformer* transformer(Tower tower);
  const Transformer* transformer(Tower tower) const;
  /// Freezes what `stays` refuses and adds parameters of tuners, which then belong to described()
  /// and trainable(), but not to parameters(): they are no part of the model's own file.
  void Adapt(const std::function<bool(const Parameter&)>& stays, std::vector<Parameter> added);
  bool adapted() const;               ///< Adapt() was called
  const NamedTensors& added() const;  ///< what it added

  /// What masks of dropout are drawn from; only tuners have dropout. See DropoutScope.
  const std::shared_ptr<DropoutKey>& dropout() const;

  /// Activation checkpointing in all transformer blocks: less memory, a second forward pass,
  /// bit-identical results. A ResNet's stages keep their activations.
  void set_grad_checkpointing(bool on);
  /// Under autocast: residual streams of the transformers in float32 (Precision's fields).
  void set_residual_fp32(bool image, bool text);
  /// Makes a ResNet in training normalize over the rows of all ranks, which must then all encode.
  /// `comm` is borrowed. No effect on other towers.
  void SyncBatchNormOver(Communicator& comm);

  /// L2-normalized features [b, embed_dim] of normalized images [b, 3, h, w]. The mode is an
  /// argument, so that an evaluation cannot leave the model in the wrong one; kTrain writes
  /// buffers(). If `kept_patches` [b, k] int64 is defined, a ViT uses only these patches; a ResNet
  /// throws std::invalid_argument.
  at::Tensor EncodeImage(const at::Tensor& images, TowerMode mode = TowerMode::kEvaluate,
                         const at::Tensor& kept_patches = {}) const;
  /// What a ViT projects into the common space: [b, width] of the class token behind the last norm.
  /// Throws std::invalid_argument for a ResNet, whose attention pool projects.
  at::Tensor EncodePooled(const at::Tensor& images, const at::Tensor& kept_patches = {}) const;
  /// L2-normalized features [b, embed_dim] of token ids [b, n] (n up to the context length), read
  /// at the positions `pool` [b]. `groups` make it faster; the features differ by rounding alone.
  at::Tensor EncodeText(const at::Tensor& tokens, const at::Tensor& pool,
                        const CaptionGroups& groups = {}) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fastclip

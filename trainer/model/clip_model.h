#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "trainer/base/named_tensors.h"
#include "trainer/base/parameter.h"
#include "trainer/model/lock.h"
#include "trainer/model/tower_mode.h"
#include "trainer/model/weights_fit.h"

namespace fastclip {

/// Of a ResNet tower: channels that are pooled, in widths, and pixels a side of each pooled place.
constexpr std::int64_t kResNetExpansion = 32, kResNetShrink = 32;

/// The image tower, in OpenCLIP's words (its model configs' "vision_cfg"): a ViT, or a ResNet.
struct VisionConfig {
  std::int64_t image_size = 224;
  std::int64_t patch_size = 32;  ///< ViT only
  std::int64_t width = 768;      ///< ResNet: channels behind the stem
  std::int64_t layers = 12;      ///< ViT only
  std::int64_t head_width = 64;
  double mlp_ratio = 4;  ///< ViT only
  /// Blocks of each of the four stages of a ResNet; empty: a ViT. Configs write both as `layers`.
  std::vector<std::int64_t> resnet_layers{};

  bool is_resnet() const { return !resnet_layers.empty(); }
  /// Of a ViT's picture.
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

/// Throws std::invalid_argument with the reason: a patch that does not divide the image, heads that
/// do not divide the width, a ResNet's picture that is no multiple of 32, a size of zero or less.
void CheckModelConfig(const ModelConfig& config);

/// Both towers with OpenCLIP's parameter names, shapes and initialisation, and `logit_scale`.
class ClipModel {
 public:
  /// Fresh weights, a function of `seed` alone. `init_temperature` is τ. Throws
  /// std::invalid_argument where config or lock cannot be.
  ClipModel(const ModelConfig& config, std::uint64_t seed, double init_temperature,
            at::ScalarType dtype, const LockOptions& lock = {}, at::Device device = at::kCPU);
  ~ClipModel();

  const ModelConfig& config() const;
  /// All parameters, locked ones too, in OpenCLIP's state_dict order: what a file holds.
  const NamedTensors& parameters() const;
  /// The same with what each of them is.
  const std::vector<Parameter>& described() const;
  /// Those that require a gradient, in the same order.
  const NamedTensors& trainable() const;
  /// What a state_dict holds besides parameters: the running statistics of a ResNet.
  const NamedTensors& buffers() const;
  at::Tensor logit_scale() const;  ///< 0-d, t = ln(1/τ)
  at::Tensor logit_bias() const;   ///< 0-d; undefined without ModelConfig::init_logit_bias

  /// Names and shapes of parameters and buffers: what CheckWeightsFit() compares a file with.
  std::vector<NamedShape> shapes() const;
  /// Copies tensors by name into parameters and buffers. Throws as CheckWeightsFit() does; nothing
  /// is then copied.
  void Load(const NamedTensors& tensors, const std::string& where);

  /// Activation checkpointing in the blocks of all transformers: less memory for a second forward
  /// pass, the same numbers to the bit. A ResNet's stages keep their activations.
  void set_grad_checkpointing(bool on);
  /// A ResNet in training normalises over the rows of all ranks, which must all encode then. `comm`
  /// is borrowed. Nothing changes for other towers.
  void SyncBatchNormOver(Communicator& comm);

  /// L2-normalised features [b, embed_dim] of normalised pictures [b, 3, h, w]. Each call names its
  /// mode, so that no evaluation can leave a model in the wrong one; kTrain writes buffers(). A ViT
  /// sees the patches `kept_patches` [b, k] int64 of a picture alone, where they are defined; for a
  /// ResNet that is std::invalid_argument.
  at::Tensor EncodeImage(const at::Tensor& images, TowerMode mode = TowerMode::kEvaluate,
                         const at::Tensor& kept_patches = {}) const;
  /// L2-normalised features [b, embed_dim] of ids [b, n] (n up to the context length), read at the
  /// places `pool` [b].
  at::Tensor EncodeText(const at::Tensor& tokens, const at::Tensor& pool) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fastclip

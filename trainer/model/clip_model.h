#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "trainer/named_tensors.h"

namespace fastclip {

/// The image tower, in OpenCLIP's words (its model configs' "vision_cfg").
struct VisionConfig {
  std::int64_t image_size = 224;
  std::int64_t patch_size = 32;
  std::int64_t width = 768;
  std::int64_t layers = 12;
  std::int64_t head_width = 64;
  double mlp_ratio = 4;
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
/// do not divide the width, a size of zero or less.
void CheckModelConfig(const ModelConfig& config);

/// Both towers with OpenCLIP's parameter names, shapes and initialisation, and `logit_scale`.
class ClipModel {
 public:
  /// Fresh weights, a function of `seed` alone. `init_temperature` is τ.
  ClipModel(const ModelConfig& config, std::uint64_t seed, double init_temperature,
            at::ScalarType dtype);
  ~ClipModel();

  const ModelConfig& config() const;
  /// Leaves that require a gradient, in OpenCLIP's state_dict order.
  const NamedTensors& parameters() const;
  /// What a state_dict holds besides parameters.
  const NamedTensors& buffers() const;
  at::Tensor logit_scale() const;  ///< 0-d, t = ln(1/τ)
  at::Tensor logit_bias() const;   ///< 0-d; undefined without ModelConfig::init_logit_bias

  /// Copies tensors by name into parameters and buffers. Throws std::runtime_error that lists what
  /// is missing, unknown or of another shape (the first few of each) and names the model. A
  /// logit_bias may be there or not: only the sigmoid loss has one.
  void Load(const NamedTensors& tensors, const std::string& where);

  /// Activation checkpointing in the blocks of both transformers: less memory for a second forward
  /// pass, the same numbers to the bit.
  void set_grad_checkpointing(bool on);

  /// L2-normalised features [b, embed_dim] of normalised pictures [b, 3, h, w].
  at::Tensor EncodeImage(const at::Tensor& images) const;
  /// L2-normalised features [b, embed_dim] of ids [b, n] (n up to the context length), read at the
  /// places `pool` [b].
  at::Tensor EncodeText(const at::Tensor& tokens, const at::Tensor& pool) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fastclip

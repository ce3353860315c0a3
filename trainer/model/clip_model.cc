#include "trainer/model/clip_model.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <stdexcept>
#include <tuple>
#include <variant>

#include "pipeline/base/printable.h"
#include "trainer/model/dropout.h"
#include "trainer/model/fresh_weights.h"
#include "trainer/model/modified_resnet.h"
#include "trainer/model/text_transformer.h"
#include "trainer/model/vision_transformer.h"

namespace fastclip {
namespace {

// Under autocast x comes in half precision, in which a norm is too coarse.
at::Tensor Normalise(const at::Tensor& projected) {
  const at::Tensor x =
      at::isReducedFloatingType(projected.scalar_type()) ? projected.to(at::kFloat) : projected;
  return x / at::linalg_vector_norm(x, 2, {-1}, /*keepdim=*/true).clamp_min(1e-12);
}

using ImageTower = std::variant<VisionTransformer, ModifiedResNet>;

ImageTower MakeImageTower(FreshWeights& weights, const ModelConfig& model) {
  if (model.vision.is_resnet()) return ModifiedResNet(weights, model);
  return VisionTransformer(weights, model);
}

// `check(good, reason)` throws.
template <class Check>
void CheckResNet(const VisionConfig& vision, const Check& check) {
  const std::int64_t width = kResNetExpansion * vision.width;
  check(vision.resnet_layers.size() == 4,
        fmt::format("vision.layers lists {}, but a ResNet has 4",
                    Counted(std::ssize(vision.resnet_layers), "stage")));
  for (const std::int64_t blocks : vision.resnet_layers) {
    check(blocks >= 1 && blocks <= 1000,
          fmt::format("vision.layers: a stage with {} blocks; must be 1 to 1000", blocks));
  }
  check(vision.image_size % kResNetShrink == 0,
        fmt::format("vision.image_size = {} is not a multiple of {}, the stride of a ResNet",
                    vision.image_size, kResNetShrink));
  check(vision.width % 2 == 0, fmt::format("vision.width = {} must be even", vision.width));
  check(width % vision.head_width == 0,
        fmt::format("vision.head_width = {} does not divide {} · vision.width = {}",
                    vision.head_width, kResNetExpansion, width));
}

template <class Check>
void CheckViT(const VisionConfig& vision, const Check& check) {
  check(vision.image_size % vision.patch_size == 0,
        fmt::format("vision.patch_size = {} does not divide vision.image_size = {}",
                    vision.patch_size, vision.image_size));
  check(vision.width % vision.head_width == 0,
        fmt::format("vision.head_width = {} does not divide vision.width = {}", vision.head_width,
                    vision.width));
}

}  // namespace

void CheckModelConfig(const ModelConfig& config) {
  const auto check = [&](bool good, const std::string& reason) {
    if (!good) throw std::invalid_argument(fmt::format("model '{}': {}", config.name, reason));
  };
  const VisionConfig& vision = config.vision;
  const TextConfig& text = config.text;
  const std::pair<const char*, std::int64_t> sizes[] = {
      {"embed_dim", config.embed_dim},
      {"vision.image_size", vision.image_size},
      {"vision.patch_size", vision.patch_size},
      {"vision.width", vision.width},
      {"vision.layers", vision.layers},
      {"vision.head_width", vision.head_width},
      {"text.context_length", text.context_length},
      {"text.vocab_size", text.vocab_size},
      {"text.width", text.width},
      {"text.heads", text.heads},
      {"text.layers", text.layers}};
  for (const auto& [name, size] : sizes) {
    check(size >= 1 && size <= 1 << 24, fmt::format("{} = {} must be from 1 to 2^24", name, size));
  }
  vision.is_resnet() ? CheckResNet(vision, check) : CheckViT(vision, check);
  check(text.width % text.heads == 0,
        fmt::format("text.heads = {} does not divide text.width = {}", text.heads, text.width));
  check(text.context_length >= 2, "text.context_length must be at least 2 (start and end token)");
  for (const auto& [name, width, ratio] : {std::tuple{"vision", vision.width, vision.mlp_ratio},
                                           std::tuple{"text", text.width, text.mlp_ratio}}) {
    check(width * ratio >= 1 && ratio <= 1024,
          fmt::format("{}.mlp_ratio = {} is not valid for width {}", name, ratio, width));
  }
}

struct ClipModel::Impl {
  Impl(const ModelConfig& model, FreshWeights& weights, double init_temperature,
       const LockOptions& lock)
      : config(model),
        image_mode_is_fixed(lock.image && lock.image_freeze_bn_stats),
        visual(MakeImageTower(weights, model)),
        text(weights, model),
        logit_scale(
            weights.At(Tower::kNeither)
                .Constant("logit_scale", {}, -std::log(init_temperature), Role::kTemperature)),
        logit_bias(model.init_logit_bias
                       ? weights.Constant("logit_bias", {}, *model.init_logit_bias, Role::kAdded)
                       : at::Tensor()),
        described(std::move(weights.made())),
        buffers(std::move(weights.buffers())) {
    // A state_dict lists a module's own parameters before its children's.
    std::stable_partition(described.begin(), described.end(), [](const Parameter& parameter) {
      return parameter.name.find('.') == std::string::npos;
    });
    for (Parameter& parameter : described) {
      parameter.tensor.requires_grad_(!IsLocked(model, lock, parameter));
      parameters.emplace_back(parameter.name, parameter.tensor);
      if (parameter.tensor.requires_grad()) trainable.push_back(parameters.back());
    }
  }

  Transformer* transformer(Tower tower) {
    if (tower == Tower::kText) return &text.transformer();
    auto* vit = std::get_if<VisionTransformer>(&visual);
    return vit ? &vit->transformer() : nullptr;
  }

  /// Calls visit(tuner, map) for all tuners of linear maps.
  template <class Visit>
  void ForLinearTuners(const Visit& visit) {
    for (const Tower tower : {Tower::kImage, Tower::kText}) {
      Transformer* const blocks = transformer(tower);
      if (!blocks) continue;
      for (const TransformerBlock& block : blocks->blocks()) {
        for (const Linear* map : {&block.in_proj, &block.out_proj, &block.c_fc, &block.c_proj}) {
          for (const auto& tuner : map->tuners) visit(*tuner, *map);
        }
      }
    }
  }

  ModelConfig config;
  bool image_mode_is_fixed;  // the image tower runs as in evaluation
  ImageTower visual;
  TextTransformer text;
  at::Tensor logit_scale;
  at::Tensor logit_bias;
  std::vector<Parameter> described;
  NamedTensors parameters, trainable, added;
  bool adapted = false;
  std::shared_ptr<DropoutKey> dropout = std::make_shared<DropoutKey>();
  NamedTensors buffers;  // of a ResNet: OpenCLIP's causal mask is not saved
};

ClipModel::ClipModel(const ModelConfig& config, std::uint64_t seed, double init_temperature,
                     at::ScalarType dtype, const LockOptions& lock, at::Device device) {
  CheckModelConfig(config);
  if (const auto fault = FaultOf(config, lock)) {
    throw std::invalid_argument(
        fmt::format("model '{}': {}: {}", config.name, fault->option, fault->reason));
  }
  FreshWeights weights(seed, dtype, device);
  impl_ = std::make_unique<Impl>(config, weights, init_temperature, lock);
}

ClipModel::ClipModel(ClipModel&&) noexcept = default;
ClipModel::~ClipModel() = default;

const ModelConfig& ClipModel::config() const { return impl_->config; }
const NamedTensors& ClipModel::parameters() const {
  impl_->ForLinearTuners([](const LinearTuner& tuner, const Linear& map) { tuner.WriteTo(map); });
  return impl_->parameters;
}
const std::vector<Parameter>& ClipModel::described() const { return impl_->described; }
const NamedTensors& ClipModel::trainable() const { return impl_->trainable; }
const NamedTensors& ClipModel::buffers() const { return impl_->buffers; }
at::Tensor ClipModel::logit_scale() const { return impl_->logit_scale; }
at::Tensor ClipModel::logit_bias() const { return impl_->logit_bias; }

bool ClipModel::adapted() const { return impl_->adapted; }
const std::shared_ptr<DropoutKey>& ClipModel::dropout() const { return impl_->dropout; }
const NamedTensors& ClipModel::added() const { return impl_->added; }

Transformer* ClipModel::transformer(Tower tower) { return impl_->transformer(tower); }
const Transformer* ClipModel::transformer(Tower tower) const { return impl_->transformer(tower); }

void ClipModel::Adapt(const std::function<bool(const Parameter&)>& stays,
                      std::vector<Parameter> added) {
  impl_->adapted = true;
  impl_->trainable.clear();
  for (const Parameter& parameter : impl_->described) {
    parameter.tensor.set_requires_grad(parameter.tensor.requires_grad() && stays(parameter));
    if (parameter.tensor.requires_grad()) {
      impl_->trainable.emplace_back(parameter.name, parameter.tensor);
    }
  }
  for (Parameter& parameter : added) {
    impl_->added.emplace_back(parameter.name, parameter.tensor);
    impl_->trainable.push_back(impl_->added.back());
    impl_->described.push_back(std::move(parameter));
  }
}

std::vector<NamedShape> ClipModel::shapes() const {
  const std::size_t own = impl_->parameters.size();
  std::vector<NamedShape> shapes;
  for (std::size_t i = 0; i < own; ++i) {
    const Parameter& of = impl_->described[i];
    shapes.push_back({of.name, of.tensor.sizes().vec(), of.role == Role::kAdded});
  }
  for (const auto& [name, tensor] : impl_->buffers) shapes.push_back({name, tensor.sizes().vec()});
  return shapes;
}

void ClipModel::Load(const NamedTensors& tensors, const std::string& where) {
  std::vector<NamedShape> theirs;
  for (const auto& [name, tensor] : tensors) theirs.push_back({name, tensor.sizes().vec()});
  CheckWeightsFit(impl_->config, shapes(), theirs, where);
  const std::map<std::string, at::Tensor> by_name(tensors.begin(), tensors.end());
  const at::NoGradGuard no_grad;
  for (const NamedTensors* list : {&impl_->parameters, &impl_->buffers}) {
    for (const auto& [name, tensor] : *list) {
      const auto found = by_name.find(name);
      if (found == by_name.end()) continue;
      at::Tensor target = tensor;
      target.copy_(found->second.reshape(target.sizes()));
    }
  }
  impl_->ForLinearTuners([](const LinearTuner& tuner, const Linear& map) { tuner.TakeFrom(map); });
}

void ClipModel::SyncBatchNormOver(Communicator& comm) {
  if (auto* resnet = std::get_if<ModifiedResNet>(&impl_->visual)) resnet->SyncOver(comm);
}

void ClipModel::set_grad_checkpointing(bool on) {
  if (auto* vit = std::get_if<VisionTransformer>(&impl_->visual)) vit->set_grad_checkpointing(on);
  impl_->text.set_grad_checkpointing(on);
}

void ClipModel::set_residual_fp32(bool image, bool text) {
  if (auto* vit = std::get_if<VisionTransformer>(&impl_->visual)) vit->set_residual_fp32(image);
  impl_->text.set_residual_fp32(text);
}

at::Tensor ClipModel::EncodeImage(const at::Tensor& images, TowerMode mode,
                                  const at::Tensor& kept_patches) const {
  if (const auto* resnet = std::get_if<ModifiedResNet>(&impl_->visual)) {
    if (kept_patches.defined()) throw std::invalid_argument("a ResNet has no patches to keep");
    return Normalise(
        resnet->Forward(images, impl_->image_mode_is_fixed ? TowerMode::kEvaluate : mode));
  }
  return Normalise(std::get<VisionTransformer>(impl_->visual).Forward(images, kept_patches));
}

at::Tensor ClipModel::EncodePooled(const at::Tensor& images, const at::Tensor& kept_patches) const {
  const auto* vit = std::get_if<VisionTransformer>(&impl_->visual);
  if (!vit) throw std::invalid_argument("a ResNet has no pooled feature before its projection");
  return vit->Pooled(images, kept_patches);
}

at::Tensor ClipModel::EncodeText(const at::Tensor& tokens, const at::Tensor& pool,
                                 const CaptionGroups& groups) const {
  return Normalise(impl_->text.Forward(tokens, pool, groups));
}

}  // namespace fastclip

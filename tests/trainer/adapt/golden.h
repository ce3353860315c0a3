#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/adapt/attach.h"
#include "trainer/optim/optimizer.h"
#include "trainer/state/safetensors.h"
#include "trainer/step/towers.h"

namespace fastclip {

/// Tensors of tests/golden/adapt/NAME.safetensors: an independent float64 implementation over
/// OpenCLIP's modules. A case's tensors are named CASE/param/SITE.…, CASE/grad/…, CASE/step1/… to
/// step3, CASE/losses and CASE/image_features, text_features.
class AdaptGolden {
 public:
  explicit AdaptGolden(const std::string& name) {
    const std::string file = "tests/golden/adapt/" + name + ".safetensors";
    for (auto& [key, tensor] : ReadSafetensors(file).tensors) tensors_.emplace(key, tensor);
  }

  const at::Tensor& operator[](const std::string& name) const { return tensors_.at(name); }
  bool Has(const std::string& name) const { return tensors_.contains(name); }
  /// Those whose names begin with `prefix`, without it.
  NamedTensors Under(const std::string& prefix) const {
    NamedTensors found;
    for (const auto& [name, tensor] : tensors_) {
      if (name.starts_with(prefix)) found.emplace_back(name.substr(prefix.size()), tensor);
    }
    return found;
  }

 private:
  std::map<std::string, at::Tensor> tensors_;
};

inline ModelConfig AdaptGoldenModel() {
  ModelConfig model;
  model.name = "golden";
  model.embed_dim = 24;
  model.vision = {.image_size = 12,
                  .patch_size = 4,
                  .width = 48,
                  .layers = 3,
                  .head_width = 16,
                  .mlp_ratio = 2};
  model.text = {
      .context_length = 16, .vocab_size = 96, .width = 32, .heads = 2, .layers = 2, .mlp_ratio = 4};
  return model;
}

/// To `tolerance` of the largest magnitude of the golden values.
inline void ExpectNear(const at::Tensor& ours, const at::Tensor& golden, double tolerance,
                       const std::string& what) {
  ASSERT_TRUE(ours.defined()) << what;
  ASSERT_EQ(ours.sizes(), golden.sizes()) << what;
  if (golden.numel() == 0) return;
  const double largest = std::max(golden.abs().max().item<double>(), 1e-30);
  EXPECT_LE((ours - golden).abs().max().item<double>() / largest, tolerance) << what;
}

/// The golden base model in float64 with a recipe attached.
struct AdaptedModel {
  explicit AdaptedModel(const std::vector<std::string>& recipe, const AdaptGolden& base,
                        std::uint64_t seed = 1, at::ScalarType dtype = at::kDouble)
      : model(AdaptGoldenModel(), 1, 0.07, dtype) {
    at::set_num_threads(1);  // tensors are too small for more
    model.Load(base.Under("weight/"), "base");
    batch = {base["image"].to(dtype), base["text"], base["text_pool"]};
    AttachTuners(model, {.tuners = recipe, .logit_scale = false}, seed);
  }

  /// Takes the start values of a case's parameters. All that were attached must be there, and
  /// nothing else.
  void Take(const NamedTensors& values) {
    const at::NoGradGuard no_grad;
    std::map<std::string, at::Tensor> ours(model.added().begin(), model.added().end());
    EXPECT_EQ(ours.size(), values.size());
    for (const auto& [name, tensor] : values) {
      ASSERT_TRUE(ours.contains(name)) << name;
      ASSERT_EQ(ours.at(name).sizes(), tensor.sizes()) << name;
      ours.at(name).copy_(tensor);
    }
  }

  PerSide<at::Tensor> Features() const {
    return {model.EncodeImage(batch.images),
            model.EncodeText(batch.tokens, batch.pool, batch.groups)};
  }

  /// Gradients of the golden loss (a ramp over each side's features), and the loss.
  double Backward(double sign = 1) const {
    for (const auto& [name, tensor] : model.trainable()) tensor.mutable_grad() = at::Tensor();
    const PerSide<at::Tensor> features = Features();
    const at::Tensor ramp = at::linspace(-1, 1, features.image.numel(), features.image.options())
                                .view_as(features.image);
    const at::Tensor loss = (features.image * ramp).sum() - (features.text * ramp).sum();
    (loss * sign).backward();
    return loss.item<double>();
  }

  /// Compares features, gradients and three AdamW steps with a case.
  void ExpectCase(const AdaptGolden& golden, const std::string& name, double sign = 1) {
    SCOPED_TRACE(name);
    const PerSide<at::Tensor> features = Features();
    ExpectNear(features.image, golden[name + "/image_features"], 1e-10, "image features");
    ExpectNear(features.text, golden[name + "/text_features"], 1e-10, "text features");
    if (!golden.Has(name + "/losses")) {
      Backward(sign);
      ExpectGradients(golden, name, sign);
      return;
    }
    std::unique_ptr<Optimizer> optimizer = MakeOptimizer(
        model.described(), {.beta1 = 0.9, .beta2 = 0.98, .eps = 1e-6, .weight_decay = 0});
    for (int step = 0; step <= 3; ++step) {
      EXPECT_NEAR(Backward(sign), golden[name + "/losses"][step].item<double>(), 1e-9) << step;
      if (step == 0) ExpectGradients(golden, name, sign);
      if (step == 3) break;
      optimizer->Step({.model = 0.01, .tau = 0});
      for (const auto& [site, value] :
           golden.Under(name + "/step" + std::to_string(step + 1) + "/")) {
        ExpectNear(Added(site).detach(), value, 1e-9, site + " after a step");
      }
    }
  }

  /// Golden gradients are of the loss without `sign`.
  void ExpectGradients(const AdaptGolden& golden, const std::string& name, double sign) const {
    const NamedTensors gradients = golden.Under(name + "/grad/");
    EXPECT_FALSE(gradients.empty());
    for (const auto& [site, gradient] : gradients) {
      ExpectNear(Added(site).grad() * sign, gradient, 1e-10, "gradient of " + site);
    }
  }

  const at::Tensor& Added(const std::string& name) const {
    for (const auto& [ours, tensor] : model.added()) {
      if (ours == name) return tensor;
    }
    throw std::logic_error("no tuner has " + name);
  }

  std::int64_t trainable() const {
    std::int64_t all = 0;
    for (const auto& [name, tensor] : model.trainable()) all += tensor.numel();
    return all;
  }

  ClipModel model;
  MicroBatch batch;
};

}  // namespace fastclip

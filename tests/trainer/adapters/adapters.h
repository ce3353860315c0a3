#pragma once

#include <ATen/core/grad_mode.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "tests/trainer/adapt/golden.h"
#include "trainer/adapters/adapter_file.h"
#include "trainer/adapters/attach_adapter.h"
#include "trainer/adapters/base_hash.h"
#include "trainer/adapters/merge_adapter.h"
#include "trainer/model/presets.h"

namespace fastclip {

/// The golden base, and models with its weights and adapters.
struct AdapterBase {
  AdapterBase() : golden("base"), weights(golden.Under("weight/")) {}

  std::unique_ptr<ClipModel> Model(const NamedTensors& tensors,
                                   at::ScalarType type = at::kDouble) const {
    auto model = std::make_unique<ClipModel>(AdaptGoldenModel(), 1, 0.07, type);
    model->Load(tensors, "base");
    return model;
  }
  std::unique_ptr<ClipModel> Model() const { return Model(weights); }

  PerSide<at::Tensor> Features(const ClipModel& model) const {
    const at::NoGradGuard no_grad;
    const auto type = model.logit_scale().scalar_type();
    return {model.EncodeImage(golden["image"].to(type)),
            model.EncodeText(golden["text"], golden["text_pool"])};
  }
  PerSide<at::Tensor> FeaturesWith(const Adapter& adapter) const {
    const auto model = Model();
    AttachAdapter(*model, adapter, "adapter");
    return Features(*model);
  }

  /// The adapter of a case of golden/adapt.
  Adapter Of(const std::string& file, const std::string& name,
             const std::vector<std::string>& tuners) const {
    return {.model = "golden",
            .model_config = OpenClipJson(AdaptGoldenModel()),
            .base = BaseHash(weights),
            .tuners = tuners,
            .tensors = AdaptGolden(file).Under(name + "/param/")};
  }
  Adapter LoraQv() const { return Of("lora", "lora_qv", {"lora *.block.*.{q,v} r=4 alpha=16"}); }
  Adapter LoraAll() const {
    return Of("lora", "lora_all_rslora",
              {"lora *.block.*.{q,k,v,o,fc1,fc2} r=3 alpha=6 rslora=true"});
  }

  AdaptGolden golden;
  NamedTensors weights;
};

inline void ExpectFeatures(const PerSide<at::Tensor>& ours, const AdaptGolden& golden,
                           const std::string& name, double tolerance) {
  ExpectNear(ours.image, golden[name + "/image_features"], tolerance, name + " image");
  ExpectNear(ours.text, golden[name + "/text_features"], tolerance, name + " text");
}

inline void ExpectSame(const NamedTensors& ours, const NamedTensors& theirs, double tolerance = 0) {
  ASSERT_EQ(ours.size(), theirs.size());
  const std::map<std::string, at::Tensor> by_name(ours.begin(), ours.end());
  for (const auto& [name, tensor] : theirs) {
    ASSERT_TRUE(by_name.contains(name)) << name;
    const at::Tensor& own = by_name.at(name);
    EXPECT_EQ(own.scalar_type(), tensor.scalar_type()) << name;
    if (tolerance > 0) {
      ExpectNear(own, tensor, tolerance, name);
    } else {
      EXPECT_TRUE(at::equal(own, tensor)) << name;
    }
  }
}

}  // namespace fastclip

#include <ATen/core/grad_mode.h>

#include "tests/trainer/adapt/s2ft_golden.h"

// S²FT while it trains: the same as dense training of the chosen columns.

namespace fastclip {
namespace {

TEST(S2ftTraining, IsDenseAdamWOnTheChosenColumnsAlone) {
  const AdaptGolden base("base");
  AdaptedModel ours(kRecipe, base), dense({"full {image,text}"}, base);
  const auto our_adamw = MakeOptimizer(ours.model.described(), kAdamW);
  const auto dense_adamw = MakeOptimizer(dense.model.described(), kAdamW);
  const std::vector<SelectedColumns> chosen = SelectedColumnsOf(ours.model);
  for (int step = 0; step < 3; ++step) {
    ours.Backward();
    dense.Backward();
    std::map<std::string, at::Tensor> masked;
    for (const SelectedColumns& of : chosen) {
      const at::Tensor all = MapAt(dense.model, of.site).weight.grad();
      const at::Tensor slice = all.index_select(1, of.index);
      ExpectNear(of.columns.grad(), slice, 1e-12, "gradient at " + of.site);
      EXPECT_GT(of.columns.grad().abs().min().item<double>(), 0) << of.site;
      masked[of.site] = at::zeros_like(all).index_copy_(1, of.index, slice);
    }
    for (const auto& [name, tensor] : dense.model.trainable()) {
      tensor.mutable_grad() = at::Tensor();
    }
    for (const auto& [site, gradient] : masked) {
      MapAt(dense.model, site).weight.mutable_grad() = gradient;
    }
    our_adamw->Step({.model = 0.01, .tau = 0});
    dense_adamw->Step({.model = 0.01, .tau = 0});
  }
  // All parameters as saved: those of the towers are the dense model's, frozen ones to the bit.
  const NamedTensors saved = CopyOf(ours.model.parameters());
  ExpectAllNear(saved, CopyOf(dense.model.parameters()), 1e-10);
}

TEST(S2ftTraining, APermutedTowerTrainsTheSame) {
  const AdaptGolden base("base");
  AdaptedModel ours(RecipeOf(kFirstPicks), base);
  ClipModel permuted(AdaptGoldenModel(), 1, 0.07, at::kDouble);
  permuted.Load(base.Under("weight/"), "base");
  std::vector<std::string> recipe;
  for (const SelectedColumns& of : SelectedColumnsOf(ours.model)) {
    const UnitGroup group = GroupAt(of.site.ends_with(".o") ? "o" : "fc2");
    TransformerBlock& block = BlockAt(permuted, of.site);
    const std::int64_t width = UnitWidth(block, group);
    Units units;
    std::string front;  // where they then lie: 0,1,…
    for (std::int64_t i = 0; i < of.index.size(0); i += width) {
      front += (i == 0 ? "" : ",") + std::to_string(std::ssize(units));
      units.push_back(of.index[i].item<std::int64_t>() / width);
    }
    Permute(block, group, ChosenFirst(units, UnitCount(block, group)));
    recipe.push_back("s2ft " + of.site + " pick=" + front);
  }
  AdaptedModel other(recipe, base);
  other.model.Load(permuted.parameters(), "permuted");
  const auto our_adamw = MakeOptimizer(ours.model.described(), kAdamW);
  const auto other_adamw = MakeOptimizer(other.model.described(), kAdamW);
  for (int step = 0; step < 3; ++step) {
    EXPECT_NEAR(ours.Backward(), other.Backward(), 1e-12);
    our_adamw->Step({.model = 0.01, .tau = 0});
    other_adamw->Step({.model = 0.01, .tau = 0});
  }
  ExpectAllNear(CopyOf(ours.model.added()), CopyOf(other.model.added()), 1e-9);
}

TEST(S2ftTraining, FrozenWeightsStayToTheBitAndTheOthersAreSaved) {
  const AdaptGolden base("base");
  AdaptedModel model(kRecipe, base);
  const NamedTensors before = CopyOf(model.model.parameters());
  const auto adamw = MakeOptimizer(model.model.described(), kAdamW);
  for (int step = 0; step < 20; ++step) {
    model.Backward();
    adamw->Step({.model = 0.01, .tau = 0});
  }
  NamedTensors expected = before;
  for (const SelectedColumns& of : SelectedColumnsOf(model.model)) {
    EXPECT_GT((of.columns - of.start).abs().min().item<double>(), 0) << of.site;
    for (auto& [name, tensor] : expected) {
      if (name != MapAt(model.model, of.site).name + ".weight") continue;
      tensor.index_copy_(1, of.index, of.columns.detach());
    }
  }
  const NamedTensors& saved = model.model.parameters();
  for (std::size_t i = 0; i < saved.size(); ++i) {
    EXPECT_TRUE(at::equal(saved[i].second, expected[i].second)) << saved[i].first;
    EXPECT_FALSE(saved[i].second.grad().defined()) << saved[i].first;
  }
  ClipModel alone(AdaptGoldenModel(), 1, 0.07, at::kDouble);
  alone.Load(saved, "saved");
  const at::NoGradGuard no_grad;
  EXPECT_TRUE(at::equal(alone.EncodeImage(model.batch.images), model.Features().image));
}

}  // namespace
}  // namespace fastclip

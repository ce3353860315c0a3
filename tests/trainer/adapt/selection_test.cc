#include "trainer/adapt/selection.h"

#include <set>

#include "tests/trainer/adapt/s2ft_golden.h"
#include "trainer/adapt/calibrate.h"

namespace fastclip {
namespace {

Units NumbersOf(const at::Tensor& numbers) {
  const at::Tensor wide = numbers.to(at::kLong).contiguous();
  return {wide.const_data_ptr<std::int64_t>(), wide.const_data_ptr<std::int64_t>() + wide.numel()};
}

/// The columns that a recipe chooses, by site.
std::map<std::string, Units> ColumnsAfter(const std::string& recipe,
                                          const SelectionData& data = {}) {
  const AdaptGolden base("base");
  ClipModel model(AdaptGoldenModel(), 1, 0.07, at::kDouble);
  model.Load(base.Under("weight/"), "base");
  AttachTuners(model, {.tuners = {recipe}}, 1);
  ChooseColumns(model, {.tuners = {recipe}}, data);
  std::map<std::string, Units> all;
  for (const SelectedColumns& of : SelectedColumnsOf(model)) all[of.site] = NumbersOf(of.index);
  return all;
}

/// Permutes all blocks as the golden case did.
void PermuteAll(ClipModel& model, const AdaptGolden& golden) {
  for (const Tower tower : {Tower::kImage, Tower::kText}) {
    std::size_t number = 0;
    for (TransformerBlock& block : model.transformer(tower)->blocks()) {
      const std::string site = std::string("permuted/order/") +
                               (tower == Tower::kImage ? "image" : "text") + ".block." +
                               std::to_string(number++);
      Permute(block, UnitGroup::kHeads, NumbersOf(golden[site + ".heads"]));
      Permute(block, UnitGroup::kChannels, NumbersOf(golden[site + ".ffn"]));
    }
  }
}

TEST(Selection, APermutedTowerComputesTheSame) {
  const AdaptGolden base("base"), golden("s2ft");
  AdaptedModel plain({"bitfit image"}, base);
  const PerSide<at::Tensor> before = plain.Features();
  PermuteAll(plain.model, golden);
  EXPECT_LE((plain.Features().image - before.image).abs().max().item<double>(), 1e-12);
  EXPECT_LE((plain.Features().text - before.text).abs().max().item<double>(), 1e-12);
  ExpectNear(plain.Features().image, golden["permuted/image_features"], 1e-12, "image");
  ExpectNear(plain.Features().text, golden["permuted/text_features"], 1e-12, "text");
  std::map<std::string, at::Tensor> weights(plain.model.parameters().begin(),
                                            plain.model.parameters().end());
  for (const auto& [name, tensor] : golden.Under("permuted/weight/")) {
    EXPECT_TRUE(at::equal(weights.at(name), tensor)) << name;
  }
}

TEST(Selection, APermutedTowerComputesTheSameInFloat32) {
  const AdaptGolden base("base"), golden("s2ft");
  ClipModel model(AdaptGoldenModel(), 1, 0.07, at::kFloat);
  model.Load(base.Under("weight/"), "base");
  PermuteAll(model, golden);
  ExpectNear(model.EncodeImage(base["image"].to(at::kFloat)).detach(), base["image_features"], 1e-5,
             "image");
  ExpectNear(model.EncodeText(base["text"], base["text_pool"]).detach(), base["text_features"],
             1e-5, "text");
}

TEST(Selection, AnOrderHoldsEachUnitOnceTheChosenFirst) {
  EXPECT_EQ(ChosenFirst({3, 1}, 5), (Units{1, 3, 0, 2, 4}));
  const AdaptGolden base("base");
  AdaptedModel plain({"bitfit image"}, base);
  TransformerBlock& block = plain.model.transformer(Tower::kImage)->blocks()[0];
  EXPECT_THROW(Permute(block, UnitGroup::kHeads, {0, 1, 1}), std::invalid_argument);
  EXPECT_THROW(Permute(block, UnitGroup::kHeads, {0, 1}), std::invalid_argument);
}

TEST(Selection, TheBestUnitsAreTakenPerBlockOrOverAll) {
  const std::vector<at::Tensor> scores = {at::tensor({4.0, 1.0, 3.0}, at::kDouble),
                                          at::tensor({9.0, 8.0, 1.0}, at::kDouble)};
  const std::vector<Units> none(2);
  EXPECT_EQ(BestUnits(scores, none, 3, false), (std::vector<Units>{{1, 2}, {2}}));
  EXPECT_EQ(BestUnits(scores, none, 2, true), (std::vector<Units>{{}, {0, 1}}));
  EXPECT_EQ(BestUnits(scores, {{1}, {2}}, 2, false), (std::vector<Units>{{0, 2}, {}}));
  EXPECT_EQ(BestUnits(scores, none, 9, false), (std::vector<Units>{{0, 1, 2}, {0, 1, 2}}));
}

TEST(Selection, ADrawDependsOnSeedAndSiteAlone) {
  const std::string recipe = "s2ft *.block.*.{o,fc2} heads=1 channels=5";
  const auto first = ColumnsAfter(recipe);
  EXPECT_EQ(ColumnsAfter(recipe), first);
  EXPECT_NE(ColumnsAfter(recipe + " seed=1"), first);
  const auto one = ColumnsAfter("s2ft image.block.1.fc2 channels=5");
  EXPECT_EQ(one.at("image.block.1.fc2"), first.at("image.block.1.fc2"));
  EXPECT_NE(first.at("image.block.0.fc2"), first.at("image.block.1.fc2"));
  EXPECT_EQ(first.size(), 10);
  for (const auto& [site, columns] : first) {
    EXPECT_EQ(columns.size(), site.ends_with(".o") ? 16 : 5) << site;
    EXPECT_TRUE(std::ranges::is_sorted(columns)) << site;
  }
}

TEST(Selection, OverAllBlocksTheSumIsThatOfOneForEach) {
  std::size_t image = 0, unlike = 0;
  for (const auto& [site, columns] :
       ColumnsAfter("s2ft *.block.*.fc2 channels=5 allocation=global")) {
    if (site.starts_with("image")) image += columns.size();
    unlike += columns.size() != 5 ? 1 : 0;
  }
  EXPECT_EQ(image, 15);
  EXPECT_GT(unlike, 0);
}

TEST(Selection, WhatOtherAdaptersHaveIsLeft) {
  const std::string recipe = "s2ft image.block.0.{o,fc2} heads=1 channels=40";
  const auto first = ColumnsAfter(recipe);
  SelectionData data;
  for (const auto& [site, columns] : first) data.taken[site] = at::tensor(columns, at::kLong);
  const auto second = ColumnsAfter(recipe, data);
  for (const auto& [site, columns] : second) {
    for (const std::int64_t column : columns) {
      EXPECT_EQ(std::ranges::count(first.at(site), column), 0) << site;
    }
  }
}

/// The units of a score's `count` smallest values, by plain sorting.
std::set<std::int64_t> Smallest(const at::Tensor& scores, std::int64_t count) {
  const Units order = NumbersOf(scores.argsort().narrow(0, 0, count));
  return {order.begin(), order.end()};
}

TEST(Selection, ScoresAreNormsOfWeightsActivationsAndGradients) {
  const AdaptGolden base("base");
  AdaptedModel model({"full {image,text}"}, base);
  SelectionData data;
  {
    Calibration calibration(model.model, {.gradients = true});
    model.Backward();
    calibration.EndBatch();
    data.statistics = calibration.statistics();
  }
  model.Backward();
  const std::string site = "image.block.1.fc2";
  const Linear& map = MapAt(model.model, site);
  EXPECT_TRUE(map.tuners.empty());
  const at::Tensor gradient = map.weight.grad().square().sum(0).sqrt();
  ExpectNear(data.statistics.at(site).gradient.sqrt(), gradient, 1e-10, "gradient");
  const auto chosen = [&](const std::string& select) {
    const Units columns =
        ColumnsAfter("s2ft " + site + " channels=7 select=" + select, data).at(site);
    return std::set(columns.begin(), columns.end());
  };
  const at::Tensor weight = map.weight.detach().square().sum(0).sqrt();
  const at::Tensor active = data.statistics.at(site).activation.sqrt();
  EXPECT_EQ(chosen("weight"), Smallest(weight, 7));
  EXPECT_EQ(chosen("activation"), Smallest(active, 7));
  EXPECT_EQ(chosen("product"), Smallest(active * weight, 7));
  EXPECT_EQ(chosen("gradient"), Smallest(gradient, 7));
  EXPECT_EQ(chosen("gradient order=largest"), Smallest(-gradient, 7));
  const at::Tensor heads =
      MapAt(model.model, "image.block.1.o").weight.detach().square().sum(0).view({3, 16}).sum(1);
  EXPECT_EQ(ColumnsAfter("s2ft image.block.1.o select=weight").at("image.block.1.o").front(),
            heads.argmin().item<std::int64_t>() * 16);
}

TEST(Selection, ABatchsGradientIsTheSumOverItsPassesAndOverRanks) {
  const AdaptGolden base("base");
  AdaptedModel model({"full {image,text}"}, base);
  const auto squares = [&](int passes, const std::function<void(at::Tensor&)>& sum) {
    Calibration calibration(model.model, {.gradients = true});
    for (int i = 0; i < passes; ++i) model.Backward();
    calibration.EndBatch(sum);
    return calibration.statistics().at("image.block.0.fc2").gradient;
  };
  const at::Tensor once = squares(1, {});
  ExpectNear(squares(3, {}), once * 9, 1e-12, "three passes");
  ExpectNear(squares(1, [](at::Tensor& gradient) { gradient.mul_(2); }), once * 4, 1e-12, "ranks");
}

TEST(Selection, ACalibrationSumsOverItsBatches) {
  const AdaptGolden base("base");
  AdaptedModel model({"full {image,text}"}, base);
  const auto after = [&](int passes, bool gradients, bool checkpointing) {
    model.model.set_grad_checkpointing(checkpointing);
    Calibration calibration(model.model, {.gradients = gradients});
    for (int i = 0; i < passes; ++i) {
      gradients ? void(model.Backward()) : void(model.Features());
      calibration.EndBatch();
    }
    return calibration.statistics().at("text.block.0.o");
  };
  const ColumnStatistics once = after(1, true, false), twice = after(2, true, false);
  ExpectNear(twice.gradient, once.gradient * 2, 1e-12, "gradient");
  ExpectNear(twice.activation, once.activation * 2, 1e-12, "activation");
  ExpectNear(after(1, true, true).gradient, once.gradient, 1e-12, "recomputed");
  ExpectNear(after(1, false, false).activation, once.activation, 1e-12, "without a graph");
  EXPECT_FALSE(after(1, false, false).gradient.defined());
  AdaptedModel attached({"s2ft *.block.*.{o,fc2} channels=3 select=gradient"}, base);
  {
    Calibration calibration(attached.model, {.gradients = true});
    attached.Backward();
    calibration.EndBatch();
    ExpectNear(calibration.statistics().at("text.block.0.o").gradient, once.gradient, 1e-12,
               "of tuners whose columns are not chosen yet");
  }
  for (const auto& [name, tensor] : model.model.trainable()) EXPECT_TRUE(tensor.requires_grad());
}

}  // namespace
}  // namespace fastclip

#include "trainer/adapt/s2ft.h"

#include "tests/support/error_of.h"
#include "tests/trainer/adapt/s2ft_golden.h"
#include "trainer/adapt/column_tuner.h"

namespace fastclip {
namespace {

TEST(S2ft, FeaturesGradientsAndStepsEqualTheGoldenOnes) {
  const AdaptGolden base("base"), golden("s2ft");
  for (const auto& [name, picks, sign] :
       {std::tuple{"s2ft", kFirstPicks, 1.0}, std::tuple{"s2ft_second", kSecondPicks, -1.0}}) {
    AdaptedModel model(RecipeOf(picks), base);
    const std::string prefix = std::string(name) + "/";
    for (const SelectedColumns& of : SelectedColumnsOf(model.model)) {
      EXPECT_TRUE(at::equal(of.index.to(at::kInt), golden[prefix + "index/" + of.site])) << of.site;
      EXPECT_TRUE(at::equal(of.columns, golden[prefix + "param/" + of.site + ".P"])) << of.site;
      EXPECT_TRUE(at::equal(of.columns, of.start)) << of.site;
    }
    model.Take(golden.Under(prefix + "param/"));
    model.ExpectCase(golden, name, sign);
    const PerSide<at::Tensor> trained = model.Features();
    ExpectNear(trained.image, golden[prefix + "trained/image_features"], 1e-9, "image, trained");
    ExpectNear(trained.text, golden[prefix + "trained/text_features"], 1e-9, "text, trained");
  }
}

TEST(S2ft, TrainsTheParametersOfOneHeadAndSomeChannelsABlock) {
  for (const char* allocation : {"uniform", "global"}) {
    for (const auto& [tower, count] : {std::pair{"image", 1179648}, {"text", 786432}}) {
      ClipModel model(ModelConfig{}, 1, 0.07, at::kFloat, {}, at::kMeta);
      AttachTuners(
          model,
          {.tuners = {std::string("s2ft ") + tower + ".block.*.{o,fc2} allocation=" + allocation},
           .logit_scale = false},
          1);
      std::int64_t trainable = 0;
      for (const auto& [name, tensor] : model.trainable()) trainable += tensor.numel();
      EXPECT_EQ(trainable, count) << tower << " " << allocation;
      EXPECT_EQ(model.parameters().size(),
                ClipModel(ModelConfig{}, 1, 0.07, at::kFloat, {}, at::kMeta).parameters().size());
    }
  }
}

/// What the two golden adapters learned, by site.
std::map<std::string, std::vector<ColumnDelta>> GoldenDeltas() {
  const AdaptGolden golden("s2ft");
  std::map<std::string, std::vector<ColumnDelta>> deltas;
  for (const std::string name : {"s2ft/", "s2ft_second/"}) {
    for (const auto& [site, index] : golden.Under(name + "index/")) {
      const at::Tensor& after = golden[name + "step3/" + site + ".P"];
      deltas[site].push_back({index.to(at::kLong), after - golden[name + "param/" + site + ".P"]});
    }
  }
  return deltas;
}

TEST(S2ft, AHundredSwitchesLeaveTheBaseToTheBit) {
  const AdaptGolden base("base");
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const auto& [site, both] : GoldenDeltas()) {
      AdaptedModel plain({"bitfit image"}, base);
      const at::Tensor weight = MapAt(plain.model, site).weight.detach().to(type);
      const at::Tensor before = weight.clone();
      for (int i = 0; i < 100; ++i) {
        MountedColumns mounted;
        for (const ColumnDelta& delta : both) mounted.Add(weight, delta);
        EXPECT_FALSE(i == 0 && at::equal(weight, before)) << site;
        mounted.Restore();
      }
      EXPECT_TRUE(at::equal(weight, before)) << site;
    }
  }
}

TEST(S2ft, SeveralAdaptersServeOneBatch) {
  at::Tensor weight = at::linspace(-1, 1, 6 * 8).sin().view({6, 8});
  const at::Tensor x = at::linspace(-2, 2, 9 * 8).cos().view({9, 8});
  std::vector<ServedRows> served;
  at::Tensor expected = at::linear(x, weight);
  for (std::int64_t i = 0; i < 3; ++i) {  // rows 0-2, 3-5 and 6-8
    const ColumnDelta delta{at::tensor({i, i + 4}, at::kLong), at::full({6, 2}, 0.1 * (1.0 + i))};
    served.push_back({3 * i, 3, delta});
    MountedColumns mounted;
    mounted.Add(weight, delta);
    expected.narrow(0, 3 * i, 3).copy_(at::linear(x.narrow(0, 3 * i, 3), weight));
    mounted.Restore();
  }
  at::Tensor y = at::linear(x, weight);
  AddServed(y, x, served);
  ExpectNear(y, expected, 1e-6, "served");
}

TEST(S2ft, WhatCannotBeIsOneError) {
  const auto expect = [](const std::vector<std::string>& recipe, const char* part,
                         const SelectionData& data = {}) {
    ClipModel model(AdaptGoldenModel(), 1, 0.07, at::kDouble);
    const std::string message = ErrorOf<std::invalid_argument>([&] {
      AttachTuners(model, {.tuners = recipe}, 1);
      ChooseColumns(model, {.tuners = recipe}, data);
    });
    EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  expect({"s2ft image.block.0.o pick=3"}, "image.block.0.o has heads 0 to 2, not 3");
  expect({"s2ft image.block.0.fc2 pick=1,1"}, "distinct numbers");
  expect({"s2ft image.block.0.fc2 pick=1,-2"}, "distinct numbers");
  expect({"s2ft image.block.0.fc2 pick=1,"}, "distinct numbers");
  expect({"s2ft image.block.0.{o,fc2} pick=1"}, "write a tuner for each");
  expect({"s2ft image.block.0.o pick=1 heads=2"}, "heads has no effect");
  expect({"s2ft image.block.0.o channels=2"}, "channels needs a site at fc2");
  expect({"s2ft image.block.0.fc2 heads=2"}, "heads needs a site at o");
  expect({"s2ft *.block.*.o heads=4"}, "4 heads at image.block.0.o, but only 3 can be chosen");
  expect({"s2ft image.block.0.fc2 order=largest"}, "order has no effect");
  expect({"s2ft image.block.0.fc2 channels=3 select=weight seed=2"}, "seed has an effect");
  expect({"s2ft image.block.0.fc2 channels=3 select=product"}, "needs a calibration");
  expect({"s2ft image.block.*.fc2 channels=3 select=weight allocation=global"},
         "allocation=global needs select=random");
  expect({"s2ft image.block.0.q"}, "its places are o, fc2");
  expect({"s2ft image.block.1.fc2 pick=4"}, "belongs to an adapter that is excluded",
         {.taken = {{"image.block.1.fc2", at::tensor({4}, at::kLong)}}});
  expect({"s2ft image.block.*.o", "full {image,text}"},
         "image.block.0.o is already trained by \"full {image,text}\"");
}

}  // namespace
}  // namespace fastclip

#include "trainer/step/label_pass.h"

#include "tests/trainer/adapt/s2ft_golden.h"

namespace fastclip {
namespace {

constexpr std::int64_t kClasses = 5;
const std::vector<std::string> kTuners = {"lora image.block.*.{q,v} r=2",
                                          "s2ft image.block.*.fc2 channels=4"};

AdaptOptions Options(const std::string& head, const std::vector<std::string>& tuners = kTuners) {
  AdaptOptions options;
  options.tuners = tuners;
  options.task = "classify";
  options.head = head;
  return options;
}

/// The golden model in float64 with a head that is not zero, and its batch with labels.
struct Labelled {
  Labelled(const std::string& head, const AdaptGolden& base)
      : model(AdaptGoldenModel(), 1, 0.07, at::kDouble) {
    model.Load(base.Under("weight/"), "base");
    AttachTuners(model, Options(head), /*seed=*/1, kClasses);
    const at::NoGradGuard no_grad;
    const ClassHead own = HeadOf(model.added());
    own.weight.copy_(at::linspace(-1, 1, own.weight.numel(), at::kDouble).view_as(own.weight));
    own.bias.copy_(at::linspace(0.3, -0.2, kClasses, at::kDouble));
    for (const auto& [name, tensor] : model.added()) {
      if (name.ends_with("lora_B")) tensor.copy_(at::full_like(tensor, 0.1));
    }
    micro = {MicroBatch{.images = base["image"], .tokens = {}, .pool = {}}};
    micro[0].labels = at::tensor({3, 0, 4}, at::kLong);
  }

  void Cut() {
    const MicroBatch all = micro[0];
    micro.clear();
    for (const auto& [first, count] : {std::pair{0, 2}, {2, 1}}) {
      MicroBatch part{.images = all.images.narrow(0, first, count), .tokens = {}, .pool = {}};
      part.labels = all.labels.narrow(0, first, count);
      micro.push_back(part);
    }
  }
  std::map<std::string, at::Tensor> Gradients() const {
    std::map<std::string, at::Tensor> all;
    for (const auto& [name, tensor] : model.trainable()) {
      if (tensor.grad().defined()) all[name] = tensor.grad().clone();
    }
    return all;
  }

  ClipModel model;
  std::vector<MicroBatch> micro;
};

TEST(LabelPass, IsCrossEntropyOfTheHeadOnTheImage) {
  const AdaptGolden base("base");
  for (const char* head : {"linear", "zeroshot"}) {
    SCOPED_TRACE(head);
    Labelled ours(head, base), plain(head, base);
    const HeadInput input = HeadInputOf(head);
    const ObjectiveResult result =
        LabelPass(ours.model, input, {}, 3).Run(ours.micro, 7, {}, [] {});
    // −1/B Σ (score of the own class − ln Σ exp scores)
    const ClassHead own = HeadOf(plain.model.added());
    const at::Tensor images = plain.micro[0].images;
    const at::Tensor encoded = input == HeadInput::kPooled ? plain.model.EncodePooled(images)
                                                           : plain.model.EncodeImage(images);
    const at::Tensor scores = encoded.mm(own.weight.t()) + own.bias;
    const at::Tensor picked = scores.gather(1, plain.micro[0].labels.view({3, 1})).view({3});
    const at::Tensor loss = (scores.exp().sum(1).log() - picked).mean();
    loss.backward();
    EXPECT_NEAR(result.report.loss.item<double>(), loss.item<double>(), 1e-12);
    EXPECT_NEAR(result.report.in_batch_accuracy.item<double>(),
                scores.argmax(1).eq(plain.micro[0].labels).to(at::kDouble).mean().item<double>(),
                1e-12);
    const auto gradients = ours.Gradients(), expected = plain.Gradients();
    EXPECT_EQ(gradients.size(), expected.size());
    EXPECT_EQ(gradients.size(), plain.model.trainable().size());  // nothing trains in vain
    for (const auto& [name, gradient] : expected) {
      ExpectNear(gradients.at(name), gradient, 1e-12, name);
      EXPECT_GT(gradient.abs().max().item<double>(), 0) << name;
    }
  }
}

TEST(LabelPass, IsTheSameInMicroBatchesAndSharesOfRanks) {
  const AdaptGolden base("base");
  Labelled whole("linear", base), cut("linear", base);
  const auto run = [](Labelled& of) {
    return LabelPass(of.model, HeadInput::kPooled, {}, 3).Run(of.micro, 7, {}, [] {});
  };
  cut.Cut();
  const double loss = run(whole).report.loss.item<double>();
  EXPECT_NEAR(run(cut).report.loss.item<double>(), loss, 1e-12);
  const auto expected = whole.Gradients();
  for (const auto& [name, gradient] : cut.Gradients()) {
    ExpectNear(gradient, expected.at(name), 1e-12, name);
  }
  // Each rank's share: the sum of its rows over the rows of all.
  double sum = 0;
  std::map<std::string, at::Tensor> gradients;
  for (std::size_t rank = 0; rank < 2; ++rank) {
    Labelled part("linear", base);
    part.Cut();
    part.micro = {part.micro[rank]};
    sum += run(part).report.loss.item<double>();
    for (const auto& [name, gradient] : part.Gradients()) {
      at::Tensor& all = gradients[name];
      all = all.defined() ? all + gradient : gradient;
    }
  }
  EXPECT_NEAR(sum, loss, 1e-12);
  for (const auto& [name, gradient] : gradients) {
    ExpectNear(gradient, expected.at(name), 1e-12, name);
  }
}

TEST(LabelPass, ALinearProbeHasNoGraphInTheTower) {
  const AdaptGolden base("base");
  ClipModel model(AdaptGoldenModel(), 1, 0.07, at::kDouble);
  model.Load(base.Under("weight/"), "base");
  AttachTuners(model, Options("linear", {}), 1, kClasses);
  EXPECT_EQ(model.trainable().size(), 2);
  EXPECT_FALSE(model.EncodePooled(base["image"]).requires_grad());
  const at::NoGradGuard no_grad;
  // The projected feature is that of EncodeImage().
  const at::Tensor projected = model.EncodePooled(base["image"]).mm(base["weight/visual.proj"]);
  ExpectNear(projected / projected.norm(2, {1}, true), model.EncodeImage(base["image"]), 1e-12,
             "feature");
}

TEST(LabelPass, WhatLabelsCannotTrainIsRefused) {
  const auto error = [](const AdaptOptions& options, bool resnet = false) -> std::string {
    ModelConfig model = AdaptGoldenModel();
    if (resnet) model.vision = {.image_size = 32, .width = 2, .resnet_layers = {1, 1, 1, 1}};
    try {
      ReadRecipe(options, model);
    } catch (const std::invalid_argument& failure) {
      return failure.what();
    }
    return "";
  };
  EXPECT_EQ(error(Options("linear")), "");
  EXPECT_NE(error(Options("linear", {"lora text.block.0.q"})).find("would not be trained"),
            std::string::npos);
  EXPECT_NE(
      error(Options("linear", {"s2ft image.block.0.o select=gradient"})).find("starts at zero"),
      std::string::npos);
  EXPECT_EQ(error(Options("zeroshot", {"s2ft image.block.0.o select=gradient"})), "");
  EXPECT_NE(error(Options("linear", {}), /*resnet=*/true).find("use adapt.head = zeroshot"),
            std::string::npos);
  AdaptOptions projections = Options("linear");
  projections.projections = true;
  EXPECT_NE(error(projections).find("before its projection"), std::string::npos);
}

}  // namespace
}  // namespace fastclip

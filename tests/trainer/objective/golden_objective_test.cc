#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <optional>

#include "tests/trainer/objective/golden_worlds.h"
#include "tests/trainer/with_roles.h"
#include "trainer/objective/temperature.h"
#include "trainer/optim/optimizer.h"

namespace fastclip {
namespace {

// Which of our objectives a file belongs to; none where another test has it.
std::optional<std::string> ObjectiveOf(const GoldenFile& file) {
  const nlohmann::json& config = file.about.at("config");
  const std::string scheme = config.at("temperature_scheme");
  if (scheme == "global_constant") {
    return config.at("gamma_schedule") == "constant" ? "sogclr" : "fastclip_v1";
  }
  if (scheme == "global_learnable") {
    return config.at("multiply_tau") == true ? "fastclip_v3" : "fastclip_v0";
  }
  return std::nullopt;
}

// Walks t, and the bias where there is one, through a world's steps with AdamW and the clamp, as
// training does.
class LogitScale {
 public:
  LogitScale(const nlohmann::json& config, const at::Tensor& start, at::ScalarType dtype,
             const at::Tensor& bias = {})
      : parameter_(start.to(dtype).clone()) {
    OptimizerOptions options;
    options.beta1 = config.at("beta1");
    options.beta2 = config.at("beta2");
    options.eps = config.at("adam_eps");
    NamedTensors parameters = {{"logit_scale", parameter_}};
    if (bias.defined()) {
      bias_ = bias.to(dtype).clone();
      parameters.emplace_back("logit_bias", bias_);
    }
    optimizer_ = MakeOptimizer(WithRoles(parameters), options);
  }

  const at::Tensor& value() const { return parameter_; }
  const at::Tensor& bias() const { return bias_; }
  void Step(const at::Tensor& gradient, double lr, const at::Tensor& bias_gradient = {}) {
    parameter_.mutable_grad() = gradient;
    if (bias_.defined()) bias_.mutable_grad() = bias_gradient;
    optimizer_->Step({.model = lr, .tau = lr});
    ClampLogitScale(parameter_);
  }

 private:
  at::Tensor parameter_;
  at::Tensor bias_;
  std::unique_ptr<Optimizer> optimizer_;
};

int RunFastClip(const GoldenFile& file) {
  const std::optional<std::string> name = ObjectiveOf(file);
  if (!name) return 0;
  const nlohmann::json& config = file.about.at("config");
  const GammaOptions gamma = GammaOf(config);
  TemperatureOptions temperature{.init = config.at("temperature"),
                                 .lr = config.at("lr_tau"),
                                 .schedule = config.at("lr_tau_scheduler")};
  int cases = 0;
  for (const World& world : Worlds(file)) {
    const auto at = [&](const std::string& tensor) { return world.At(tensor); };
    for (const std::string mode : {"reference", "exact"}) {
      const std::string gradient_name = mode == "exact" ? "indep/grad_t_avg_half" : "grad_t_avg";
      const bool learns = TemperatureOf(*name) == TemperatureKind::kLearned;
      // A constant temperature leaves the modes nothing to differ in.
      if (learns ? !world.Has(gradient_name) : mode == "exact") continue;
      const auto run = [&](at::ScalarType dtype, const std::vector<std::int64_t>& cut,
                           std::int64_t tile) {
        const auto objective = MakeObjective({.name = *name,
                                              .mode = mode,
                                              .rho = config.at("rho"),
                                              .epsilon = config.at("eps"),
                                              .tile = tile});
        LogitScale logit_scale(config, at("t_before")[0], dtype);
        for (std::int64_t s = 0; s < world.steps; ++s) {
          SCOPED_TRACE(testing::Message() << "step " << s);
          const at::Tensor index = GlobalRows(at("index"), s);
          PerSide<at::Tensor> table = {at("u_im_before")[s].clone(), at("u_tt_before")[s].clone()};
          const at::Tensor state = at::stack(
              {table.image.index_select(0, index).log(), table.text.index_select(0, index).log()},
              1);
          StepScalars scalars;
          scalars.gamma = Gamma(gamma, at("epoch")[s].item<std::int64_t>(), 0);
          EXPECT_NEAR(scalars.gamma, at("gamma")[s].item<double>(), 1e-12);
          scalars.logit_scale = at("t_before")[s];
          const double lr_tau = TemperatureRate(
              temperature, {.lr_min = config.at("lr_min"), .warmup = config.at("warmup")}, s,
              {world.steps}, scalars.logit_scale.item<double>());
          EXPECT_NEAR(lr_tau, at("lr_tau")[s].item<double>(), 1e-12);

          const Whole ours = EvaluateCut(*objective,
                                         {GlobalRows(at("image_features"), s).to(dtype),
                                          GlobalRows(at("text_features"), s).to(dtype)},
                                         state.to(dtype), scalars, cut);

          EXPECT_TRUE(Agrees(ours.features.image * world.ranks, GlobalRows(at("grad_image"), s)));
          EXPECT_TRUE(Agrees(ours.features.text * world.ranks, GlobalRows(at("grad_text"), s)));
          const at::Tensor u = ours.state.exp();
          EXPECT_TRUE(Agrees(u.select(1, 0), GlobalRows(at("u_im_batch"), s)));
          EXPECT_TRUE(Agrees(u.select(1, 1), GlobalRows(at("u_tt_batch"), s)));
          table = {table.image.to(dtype), table.text.to(dtype)};
          for (std::int64_t row = 0; row < world.rows; ++row) {  // the last of equal indices wins
            table.image[index[row].item<std::int64_t>()] = u[row][0];
            table.text[index[row].item<std::int64_t>()] = u[row][1];
          }
          EXPECT_TRUE(Agrees(table.image, at("u_im_after")[s]));
          EXPECT_TRUE(Agrees(table.text, at("u_tt_after")[s]));

          const at::Tensor log_u = at::stack(
              {GlobalRows(at("u_im_batch"), s).log(), GlobalRows(at("u_tt_batch"), s).log()});
          EXPECT_TRUE(Agrees(ours.log_u_mean, log_u.mean()));
          const at::Tensor loss =
              (log_u.exp() + config.at("eps").get<double>()).log().mean() * at("tau_before")[s];
          EXPECT_TRUE(Agrees(ours.loss, loss));
          EXPECT_EQ(learns, ours.gradient.defined());
          if (learns) {
            EXPECT_TRUE(Agrees(ours.gradient, at(gradient_name)[s], at(gradient_name)));
          }
          if (learns && mode == "reference") {
            logit_scale.Step(ours.gradient, lr_tau);
            EXPECT_TRUE(Agrees(logit_scale.value(), at("t_after")[s]));
          }
          ++cases;
          if (testing::Test::HasFailure()) return;
        }
      };
      ForEachCut(world.rows, file.name + " " + world.prefix + " " + mode, run);
      if (testing::Test::HasFailure()) return cases;
    }
  }
  return cases;
}

int RunOpenClip(const GoldenFile& file) {
  const nlohmann::json& config = file.about.at("config");
  const bool siglip = config.at("kind") == "siglip";
  int cases = 0;
  for (const World& world : Worlds(file)) {
    const auto at = [&](const std::string& tensor) { return world.At(tensor); };
    const auto run = [&](at::ScalarType dtype, const std::vector<std::int64_t>& cut,
                         std::int64_t tile) {
      const auto objective =
          MakeObjective({.name = siglip ? "siglip" : "openclip", .mode = "exact", .tile = tile});
      LogitScale logit_scale(config, at("t_before")[0], dtype,
                             siglip ? at("bias_before")[0] : at::Tensor());
      for (std::int64_t s = 0; s < world.steps; ++s) {
        SCOPED_TRACE(testing::Message() << "step " << s);
        StepScalars scalars;
        scalars.logit_scale = at("t_before")[s];
        if (siglip) scalars.logit_bias = at("bias_before")[s];
        const Whole ours = EvaluateCut(*objective,
                                       {GlobalRows(at("image_features"), s).to(dtype),
                                        GlobalRows(at("text_features"), s).to(dtype)},
                                       {}, scalars, cut);
        EXPECT_TRUE(Agrees(ours.features.image * world.ranks, GlobalRows(at("grad_image"), s)));
        EXPECT_TRUE(Agrees(ours.features.text * world.ranks, GlobalRows(at("grad_text"), s)));
        EXPECT_TRUE(Agrees(ours.gradient, at("grad_t_avg")[s], at("grad_t_avg")));
        EXPECT_TRUE(Agrees(ours.loss, at("loss")[s].mean()));
        logit_scale.Step(ours.gradient, config.at("lr_tau"), ours.bias_gradient);
        EXPECT_TRUE(Agrees(logit_scale.value(), at("t_after")[s]));
        EXPECT_EQ(ours.bias_gradient.defined(), siglip);
        if (siglip) {
          EXPECT_TRUE(Agrees(ours.bias_gradient, at("grad_bias_avg")[s], at("grad_bias_avg")));
          EXPECT_TRUE(Agrees(logit_scale.bias(), at("bias_after")[s]));
        }
        ++cases;
        if (testing::Test::HasFailure()) return;
      }
    };
    ForEachCut(world.rows, file.name + " " + world.prefix, run);
    if (testing::Test::HasFailure()) return cases;
  }
  return cases;
}

TEST(GoldenObjective, FastClipAgreesHoweverTheRowsAreCut) {
  ForEachGolden("fastclip_loss", RunFastClip);
}

TEST(GoldenObjective, OpenClipAgreesHoweverTheRowsAreCut) {
  ForEachGolden("openclip_loss", RunOpenClip);
}

}  // namespace
}  // namespace fastclip

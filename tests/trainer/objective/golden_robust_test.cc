#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "tests/trainer/objective/golden_worlds.h"

namespace fastclip {
namespace {

// The state rows of a step's samples as our columns hold them: u as a logarithm, without the factor
// e^−bound that the reference's carries.
at::Tensor StateOf(const std::function<at::Tensor(const std::string&)>& at, std::int64_t s,
                   const at::Tensor& index, bool reference) {
  const auto rows = [&](const std::string& name) { return at(name)[s].index_select(0, index); };
  std::vector<at::Tensor> columns;
  for (const char* side : {"im", "tt"}) {
    columns.push_back(rows(fmt::format("u_{}_before", side)).log() +
                      rows(fmt::format("bound_{}_before", side)));
  }
  std::vector<std::string> names = {"tau", "m_grad_tau", "v_grad_tau"};
  if (reference) names.emplace_back("bound");
  for (const std::string& name : names) {
    for (const char* side : {"im", "tt"}) {
      columns.push_back(rows(fmt::format("{}_{}_before", name, side)));
    }
  }
  return at::stack(columns, 1);
}

// How far exact v2 may be from the numbers, relative: they add ε to u·e^−bound, it adds ε to u.
double EpsilonApart(const std::function<at::Tensor(const std::string&)>& at, std::int64_t s,
                    double epsilon) {
  return epsilon / std::min(at("u_im_batch")[s].min().item<double>(),
                            at("u_tt_batch")[s].min().item<double>());
}

int RunRobust(const GoldenFile& file) {
  const nlohmann::json& config = file.about.at("config");
  if (config.at("temperature_scheme") != "individual_learnable") return 0;
  const std::string name = config.at("gamma_schedule") == "constant" ? "isogclr" : "fastclip_v2";
  const GammaOptions gamma = GammaOf(config);
  int cases = 0;
  for (const World& world : Worlds(file)) {
    const auto at = [&](const std::string& tensor) { return world.At(tensor); };
    for (const std::string mode : {"reference", "exact"}) {
      const bool reference = mode == "reference";
      const std::string gradient = reference ? "grad_" : "indep/obj_grad_";
      const auto run = [&](at::ScalarType dtype, const std::vector<std::int64_t>& cut,
                           std::int64_t tile) {
        const auto objective = MakeObjective({.name = name,
                                              .mode = mode,
                                              .rho = config.at("rho"),
                                              .epsilon = config.at("eps"),
                                              .tile = tile,
                                              .tau_init = config.at("temperature"),
                                              .tau_beta1 = config.at("beta1"),
                                              .tau_beta2 = config.at("beta2"),
                                              .tau_eps = config.at("adam_eps")});
        for (std::int64_t s = 0; s < world.steps; ++s) {
          SCOPED_TRACE(testing::Message() << "step " << s);
          const at::Tensor index = GlobalRows(at("index"), s);
          StepScalars scalars;
          scalars.epoch = at("epoch")[s].item<std::int64_t>();
          scalars.gamma = Gamma(gamma, scalars.epoch, 0);
          scalars.lr_tau = at("lr_tau")[s].item<double>();
          scalars.logit_scale = at("t_before")[s];
          const Whole ours = EvaluateCut(*objective,
                                         {GlobalRows(at("image_features"), s).to(dtype),
                                          GlobalRows(at("text_features"), s).to(dtype)},
                                         StateOf(at, s, index, reference).to(dtype), scalars, cut);
          EXPECT_FALSE(ours.gradient.defined());
          const double apart = reference ? 0 : EpsilonApart(at, s, config.at("eps"));
          for (const auto& [side, mine] :
               {std::pair("image", ours.features.image), std::pair("text", ours.features.text)}) {
            const at::Tensor theirs = GlobalRows(at(gradient + side), s);
            EXPECT_TRUE(Agrees(mine * world.ranks, theirs, theirs, apart)) << side;
          }
          ++cases;
          if (testing::Test::HasFailure()) return;
          if (!reference) continue;  // τ's step has no numbers here

          const auto after = [&](const std::string& tensor) {
            return at(tensor + "_after")[s].index_select(0, index);
          };
          std::int64_t column = 0;
          for (const char* tensor : {"u", "tau", "m_grad_tau", "v_grad_tau", "bound"}) {
            for (const char* side : {"im", "tt"}) {
              SCOPED_TRACE(testing::Message() << tensor << " " << side);
              at::Tensor mine = ours.state.select(1, column++);
              if (tensor == std::string("u")) {
                mine = (mine - after(fmt::format("bound_{}", side)).to(dtype)).exp();
              }
              // A bound that is 0 is the rounding of S_ii − S_ii there: all steps' largest
              // counts.
              const std::string name = fmt::format("{}_{}", tensor, side);
              EXPECT_TRUE(Agrees(mine, after(name), at(name + "_after")));
            }
          }
          if (testing::Test::HasFailure()) return;
        }
      };
      ForEachCut(world.rows, file.name + " " + world.prefix + " " + mode, run);
      if (testing::Test::HasFailure()) return cases;
    }
  }
  return cases;
}

TEST(GoldenObjective, RobustAgreesHoweverTheRowsAreCut) {
  ForEachGolden("fastclip_loss", RunRobust);
}

}  // namespace
}  // namespace fastclip

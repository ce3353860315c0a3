#include "tests/trainer/objective/golden_objective.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <set>

#include "tests/support/thread_communicator.h"
#include "trainer/objective/contrastive_objective.h"
#include "trainer/objective/gamma_schedule.h"
#include "trainer/objective/temperature.h"
#include "trainer/optim/optimizer.h"

namespace fastclip {
namespace {

// One evaluation over all rows of a global batch, however they are cut: the ranks' rows joined,
// their shares summed.
struct Whole {
  PerSide<at::Tensor> features;
  at::Tensor gradient;  // of t; undefined where it is constant
  at::Tensor state;
  at::Tensor loss;
  at::Tensor log_u_mean;
  std::int64_t first_visits = 0;
};

Whole EvaluateCut(const ContrastiveObjective& objective, const PerSide<at::Tensor>& all,
                  const at::Tensor& state, const StepScalars& scalars,
                  const std::vector<std::int64_t>& rows_per_rank) {
  std::vector<ObjectiveResult> parts(rows_per_rank.size());
  RunRanks(static_cast<int>(rows_per_rank.size()), [&](Communicator& comm) {
    const auto rank = static_cast<std::size_t>(comm.rank());
    Features features;
    features.global = all;
    features.rows_per_rank = rows_per_rank;
    for (std::size_t before = 0; before < rank; ++before) {
      features.first_row += rows_per_rank[before];
    }
    features.local = {all.image.narrow(0, features.first_row, rows_per_rank[rank]),
                      all.text.narrow(0, features.first_row, rows_per_rank[rank])};
    const at::Tensor own =
        state.defined() ? state.narrow(0, features.first_row, rows_per_rank[rank]) : state;
    parts[rank] = objective.Evaluate(features, own, scalars, comm);
  });
  std::vector<at::Tensor> image, text, rows;
  Whole whole;
  for (const ObjectiveResult& part : parts) {
    image.push_back(part.features.image);
    text.push_back(part.features.text);
    if (part.state.defined()) rows.push_back(part.state);
    const auto add = [](at::Tensor& sum, const at::Tensor& share) {
      sum = sum.defined() ? sum + share : share;
    };
    if (!part.parameters.empty()) add(whole.gradient, part.parameters.at(0));
    add(whole.loss, part.report.loss);
    add(whole.log_u_mean, part.report.log_u_mean);
    whole.first_visits += part.report.first_visits;
  }
  whole.features = {at::cat(image), at::cat(text)};
  if (!rows.empty()) whole.state = at::cat(rows);
  return whole;
}

// Ways to cut n rows: one rank, two, four, and ranks of unlike size.
std::vector<std::vector<std::int64_t>> Cuts(std::int64_t n) {
  std::vector<std::vector<std::int64_t>> cuts = {{n}};
  if (n % 2 == 0) cuts.push_back({n / 2, n / 2});
  if (n % 4 == 0) cuts.push_back({n / 4, n / 4, n / 4, n / 4});
  if (n >= 3) cuts.push_back({1, n - 1});
  return cuts;
}

// Tile widths to try: all of them on one rank; two where ranks must meet, which costs a test time.
std::vector<std::int64_t> Tiles(const std::vector<std::int64_t>& cut, std::int64_t n) {
  if (cut.size() == 1) return {0, 1, 3, n};
  return {0, 3};
}

// The worlds "K1", "K2", … that a file holds.
std::set<std::string> Worlds(const GoldenFile& file) {
  std::set<std::string> worlds;
  for (const auto& [name, tensor] : file.tensors) {
    const std::size_t end = name.find('/');
    if (end != std::string::npos && name[0] == 'K' && name.find("image_features") == end + 1) {
      worlds.insert(name.substr(0, end + 1));
    }
  }
  return worlds;
}

// Which of our objectives a file belongs to; none where its kind is not built.
std::optional<std::string> ObjectiveOf(const GoldenFile& file) {
  const nlohmann::json& config = file.about.at("config");
  if (file.about.at("kind") == "openclip_loss") {
    if (config.at("kind") == "clip") return "openclip";
    return std::nullopt;
  }
  const std::string scheme = config.at("temperature_scheme");
  if (config.at("gamma_schedule") != "cosine") return std::nullopt;
  if (scheme == "global_constant") return "fastclip_v1";
  if (scheme == "global_learnable" && config.at("multiply_tau") == true) return "fastclip_v3";
  return std::nullopt;
}

// Walks t through a world's steps with AdamW and the clamp, as training does.
class LogitScale {
 public:
  LogitScale(const nlohmann::json& config, const at::Tensor& start, at::ScalarType dtype)
      : parameter_(start.to(dtype).clone()) {
    OptimizerOptions options;
    options.beta1 = config.at("beta1");
    options.beta2 = config.at("beta2");
    options.eps = config.at("adam_eps");
    optimizer_ = MakeOptimizer({{"logit_scale", parameter_}}, options);
  }

  const at::Tensor& value() const { return parameter_; }
  void Step(const at::Tensor& gradient, double lr) {
    parameter_.mutable_grad() = gradient;
    optimizer_->Step({.model = 0, .tau = lr});
    ClampLogitScale(parameter_);
  }

 private:
  at::Tensor parameter_;
  std::unique_ptr<Optimizer> optimizer_;
};

std::int64_t Rank(const at::Tensor& tensor) { return tensor.size(1); }

// [S, K, B, …] of step s as the rows of the global batch, [K·B, …].
at::Tensor GlobalRows(const at::Tensor& tensor, std::int64_t s) { return tensor[s].flatten(0, 1); }

int RunFastClip(const GoldenFile& file) {
  const std::optional<std::string> name = ObjectiveOf(file);
  if (!name) {
    std::printf("skipped %s: its kind is not built\n", file.name.c_str());
    return 0;
  }
  const nlohmann::json& config = file.about.at("config");
  GammaOptions gamma{config.at("gamma_schedule"), config.at("gamma"),
                     config.at("gamma_decay_epochs")};
  TemperatureOptions temperature{config.at("temperature"), config.at("lr_tau"),
                                 config.at("lr_tau_scheduler")};
  int cases = 0;
  for (const std::string& world : Worlds(file)) {
    const auto at = [&](const std::string& tensor) { return file.At(world + tensor); };
    const auto ranks = static_cast<double>(Rank(at("index")));
    const std::int64_t steps = at("index").size(0);
    const std::int64_t n = GlobalRows(at("index"), 0).size(0);
    for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
      for (const std::string mode : {"reference", "exact"}) {
        const std::string gradient_name = mode == "exact" ? "indep/grad_t_avg_half" : "grad_t_avg";
        const bool learns = *name != "fastclip_v1";
        // A constant temperature leaves the modes nothing to differ in.
        if (learns ? !file.Has(world + gradient_name) : mode == "exact") continue;
        for (const std::vector<std::int64_t>& cut : Cuts(n)) {
          for (const std::int64_t tile : Tiles(cut, n)) {
            SCOPED_TRACE(testing::Message() << file.name << " " << world << " " << mode << " "
                                            << cut.size() << " ranks, tile " << tile << ", "
                                            << (dtype == at::kFloat ? "float32" : "float64"));
            const auto objective = MakeObjective({.name = *name,
                                                  .mode = mode,
                                                  .rho = config.at("rho"),
                                                  .epsilon = config.at("eps"),
                                                  .tile = tile});
            LogitScale logit_scale(config, at("t_before")[0], dtype);
            for (std::int64_t s = 0; s < steps; ++s) {
              SCOPED_TRACE(testing::Message() << "step " << s);
              const at::Tensor index = GlobalRows(at("index"), s);
              PerSide<at::Tensor> table = {at("u_im_before")[s].clone(),
                                           at("u_tt_before")[s].clone()};
              const at::Tensor state = at::stack({table.image.index_select(0, index).log(),
                                                  table.text.index_select(0, index).log()},
                                                 1);
              StepScalars scalars;
              scalars.gamma = Gamma(gamma, at("epoch")[s].item<std::int64_t>(), 0);
              EXPECT_NEAR(scalars.gamma, at("gamma")[s].item<double>(), 1e-12);
              scalars.logit_scale = at("t_before")[s];
              const double lr_tau = TemperatureRate(
                  temperature, {.lr_min = config.at("lr_min"), .warmup = config.at("warmup")}, s,
                  steps, scalars.logit_scale);
              EXPECT_NEAR(lr_tau, at("lr_tau")[s].item<double>(), 1e-12);

              const Whole ours = EvaluateCut(*objective,
                                             {GlobalRows(at("image_features"), s).to(dtype),
                                              GlobalRows(at("text_features"), s).to(dtype)},
                                             state.to(dtype), scalars, cut);

              EXPECT_TRUE(Agrees(ours.features.image * ranks, GlobalRows(at("grad_image"), s)));
              EXPECT_TRUE(Agrees(ours.features.text * ranks, GlobalRows(at("grad_text"), s)));
              const at::Tensor u = ours.state.exp();
              EXPECT_TRUE(Agrees(u.select(1, 0), GlobalRows(at("u_im_batch"), s)));
              EXPECT_TRUE(Agrees(u.select(1, 1), GlobalRows(at("u_tt_batch"), s)));
              table = {table.image.to(dtype), table.text.to(dtype)};
              for (std::int64_t row = 0; row < n; ++row) {  // the last of equal indices wins
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
              if (testing::Test::HasFailure()) return cases;
            }
          }
        }
      }
    }
  }
  return cases;
}

int RunOpenClip(const GoldenFile& file) {
  if (!ObjectiveOf(file)) {
    std::printf("skipped %s: its kind is not built\n", file.name.c_str());
    return 0;
  }
  const nlohmann::json& config = file.about.at("config");
  int cases = 0;
  for (const std::string& world : Worlds(file)) {
    const auto at = [&](const std::string& tensor) { return file.At(world + tensor); };
    const auto ranks = static_cast<double>(Rank(at("image_features")));
    const std::int64_t steps = at("image_features").size(0);
    const std::int64_t n = GlobalRows(at("image_features"), 0).size(0);
    for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
      for (const std::vector<std::int64_t>& cut : Cuts(n)) {
        for (const std::int64_t tile : Tiles(cut, n)) {
          SCOPED_TRACE(testing::Message()
                       << file.name << " " << world << " " << cut.size() << " ranks, tile " << tile
                       << ", " << (dtype == at::kFloat ? "float32" : "float64"));
          const auto objective = MakeObjective({.name = "openclip", .mode = "exact", .tile = tile});
          LogitScale logit_scale(config, at("t_before")[0], dtype);
          for (std::int64_t s = 0; s < steps; ++s) {
            SCOPED_TRACE(testing::Message() << "step " << s);
            StepScalars scalars;
            scalars.logit_scale = at("t_before")[s];
            const Whole ours = EvaluateCut(*objective,
                                           {GlobalRows(at("image_features"), s).to(dtype),
                                            GlobalRows(at("text_features"), s).to(dtype)},
                                           {}, scalars, cut);
            EXPECT_TRUE(Agrees(ours.features.image * ranks, GlobalRows(at("grad_image"), s)));
            EXPECT_TRUE(Agrees(ours.features.text * ranks, GlobalRows(at("grad_text"), s)));
            EXPECT_TRUE(Agrees(ours.gradient, at("grad_t_avg")[s], at("grad_t_avg")));
            EXPECT_TRUE(Agrees(ours.loss, at("loss")[s].mean()));
            logit_scale.Step(ours.gradient, config.at("lr_tau"));
            EXPECT_TRUE(Agrees(logit_scale.value(), at("t_after")[s]));
            ++cases;
            if (testing::Test::HasFailure()) return cases;
          }
        }
      }
    }
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

#pragma once

#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "tests/support/thread_communicator.h"
#include "tests/trainer/objective/golden_objective.h"
#include "trainer/objective/contrastive_objective.h"
#include "trainer/objective/gamma_schedule.h"

namespace fastclip {

// One evaluation over all rows of a global batch, however they are cut: the ranks' rows joined,
// their shares summed.
struct Whole {
  PerSide<at::Tensor> features;
  at::Tensor gradient;       // of t; undefined where it is constant
  at::Tensor bias_gradient;  // undefined without a bias
  at::Tensor state;
  at::Tensor loss;
  at::Tensor log_u_mean;
  std::int64_t first_visits = 0;
};

inline Whole EvaluateCut(const ContrastiveObjective& objective, const PerSide<at::Tensor>& all,
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
      if (!share.defined()) return;
      sum = sum.defined() ? sum + share : share;
    };
    add(whole.gradient, part.parameters.logit_scale);
    add(whole.bias_gradient, part.parameters.logit_bias);
    add(whole.loss, part.report.loss);
    add(whole.log_u_mean, part.report.log_u_mean);
    if (part.report.first_visits.defined()) {
      whole.first_visits += part.report.first_visits.item<std::int64_t>();
    }
  }
  whole.features = {at::cat(image), at::cat(text)};
  if (!rows.empty()) whole.state = at::cat(rows);
  return whole;
}

// Ways to cut n rows: one rank, two, four, and ranks of unlike size.
inline std::vector<std::vector<std::int64_t>> Cuts(std::int64_t n) {
  std::vector<std::vector<std::int64_t>> cuts = {{n}};
  if (n % 2 == 0) cuts.push_back({n / 2, n / 2});
  if (n % 4 == 0) cuts.push_back({n / 4, n / 4, n / 4, n / 4});
  if (n >= 3) cuts.push_back({1, n - 1});
  return cuts;
}

// Tile widths to try: all of them on one rank; two where ranks must meet, which costs a test time.
inline std::vector<std::int64_t> Tiles(const std::vector<std::int64_t>& cut, std::int64_t n) {
  if (cut.size() == 1) return {0, 1, 3, n};
  return {0, 3};
}

// Calls `run(dtype, cut, tile)` for both precisions, every cut of n rows and its tiles, until a
// case fails; `what` names the case in failures.
template <class Run>
void ForEachCut(std::int64_t n, const std::string& what, const Run& run) {
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
    for (const std::vector<std::int64_t>& cut : Cuts(n)) {
      for (const std::int64_t tile : Tiles(cut, n)) {
        SCOPED_TRACE(testing::Message() << what << ", " << cut.size() << " ranks, tile " << tile
                                        << ", " << (dtype == at::kFloat ? "float32" : "float64"));
        run(dtype, cut, tile);
        if (testing::Test::HasFailure()) return;
      }
    }
  }
}

// One of the worlds "K1", "K2", … that a file holds: the same steps on another number of ranks.
struct World {
  const GoldenFile& file;
  std::string prefix;      // "K2/"
  std::int64_t steps = 0;  // S
  std::int64_t ranks = 0;  // K
  std::int64_t rows = 0;   // of the global batch, K·B

  bool Has(const std::string& tensor) const { return file.Has(prefix + tensor); }
  // [S, K, B, …], or [S, …] of what all ranks share.
  const at::Tensor& At(const std::string& tensor) const { return file.At(prefix + tensor); }
};

inline std::vector<World> Worlds(const GoldenFile& file) {
  std::vector<World> worlds;
  for (const auto& [name, tensor] : file.tensors) {
    const std::size_t end = name.find('/');
    if (end != std::string::npos && name[0] == 'K' && name.find("image_features") == end + 1) {
      worlds.push_back({.file = file,
                        .prefix = name.substr(0, end + 1),
                        .steps = tensor.size(0),
                        .ranks = tensor.size(1),
                        .rows = tensor.size(1) * tensor.size(2)});
    }
  }
  return worlds;
}

inline GammaOptions GammaOf(const nlohmann::json& config) {
  return {.schedule = config.at("gamma_schedule"),
          .min = config.at("gamma"),
          .decay_epochs = config.at("gamma_decay_epochs")};
}

// [S, K, B, …] of step s as the rows of the global batch, [K·B, …].
inline at::Tensor GlobalRows(const at::Tensor& tensor, std::int64_t s) {
  return tensor[s].flatten(0, 1);
}

}  // namespace fastclip

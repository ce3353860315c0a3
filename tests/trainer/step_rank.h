#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "trainer/step/train_step.h"

namespace fastclip {

inline constexpr std::int64_t kRows = 8, kLanes = 8;

inline ModelConfig ThinResNet() {
  ModelConfig model;
  model.embed_dim = 8;
  model.vision = {.image_size = 32, .width = 2, .head_width = 16, .resnet_layers = {1, 1, 1, 1}};
  model.text = {
      .context_length = 8, .vocab_size = 32, .width = 8, .heads = 2, .layers = 1, .mlp_ratio = 2};
  return model;
}

inline ModelConfig ThinModel(const std::string& objective) {
  ModelConfig model;
  if (objective == "siglip") model.init_logit_bias = -2;
  model.embed_dim = 8;
  model.vision = {
      .image_size = 16, .patch_size = 8, .width = 16, .layers = 1, .head_width = 8, .mlp_ratio = 2};
  model.text = {
      .context_length = 8, .vocab_size = 32, .width = 8, .heads = 2, .layers = 1, .mlp_ratio = 2};
  return model;
}

/// A rank of a small run: its model, its rows of the state, its optimizer.
struct Rank {
  Rank(const std::string& objective_name, const std::vector<std::int64_t>& lanes_per_rank,
       Communicator& comm, double clip_norm = 0, const char* precision = "fp64",
       const std::optional<ModelConfig>& config = {}, at::Device on = at::kCPU,
       const OptimizerOptions& optimizer_options = {}, bool recorded = false,
       const LockOptions& lock = {})
      : plan(
            {.size = 64, .batch_size = kRows, .lanes = kLanes, .chunk = 1, .window = 8, .seed = 3}),
        lanes(plan.LanesOf(comm.rank(), lanes_per_rank)),
        dtype(PrecisionOf(precision).parameters),
        device(on),
        model(config ? *config : ThinModel(objective_name), 5, 0.07, dtype, lock, device),
        objective(MakeObjective({.name = objective_name, .mode = "exact", .rho = 1})),
        table(plan, lanes, objective->state_columns(), objective->initial_state(), dtype),
        optimizer(MakeOptimizer(model.described(), optimizer_options)),
        step(model, *objective, table, *optimizer, comm,
             {clip_norm, PrecisionOf(precision), recorded}, lanes_per_rank) {}

  struct Part {
    std::vector<std::int64_t> indices;
    std::vector<MicroBatch> micro;
  };
  /// This rank's rows of the planned batch of step `number`, in `parts` micro-batches.
  Part Micro(std::int64_t number, std::int64_t parts) const {
    Part all;
    const std::int64_t rows = (lanes.last - lanes.first) / parts;
    for (std::int64_t part = 0; part < parts; ++part) {
      std::vector<at::Tensor> images, tokens, pool;
      for (std::int64_t row = 0; row < rows; ++row) {
        const std::int64_t index = ToInt(plan.Row(number, lanes.first + part * rows + row)->index);
        all.indices.push_back(index);
        const std::int64_t size = model.config().vision.image_size;
        const at::Tensor x = at::arange(3 * size * size, at::kDouble).reshape({3, size, size});
        images.push_back(at::sin(x * (0.01 * static_cast<double>(index + 1))).to(dtype));
        tokens.push_back((at::arange(8, at::kLong) * (index + 1)).remainder(30));
        pool.push_back(at::scalar_tensor(2 + index % 6, at::kLong));
      }
      all.micro.push_back(
          {at::stack(images).to(device), at::stack(tokens).to(device), at::stack(pool).to(device)});
    }
    return all;
  }
  static StepInput InputOf(const Part& rows, std::int64_t number) {
    StepInput input;
    input.micro = rows.micro;
    input.indices = rows.indices;
    input.epoch = number;
    input.gamma = number == 0 ? 1.0 : 0.6;
    input.rates.model = input.rates.tau = 1e-3;
    return input;
  }
  StepReport RunOn(const Part& rows, std::int64_t number,
                   const std::function<bool()>& wants_talk = {}) {
    StepInput input = InputOf(rows, number);
    input.wants_talk = wants_talk;
    return step.Run(input);
  }
  StepReport Run(std::int64_t number, std::int64_t parts = 1,
                 const std::function<bool()>& wants_talk = {}) {
    return RunOn(Micro(number, parts), number, wants_talk);
  }

  /// What a refused step must leave as it is.
  std::vector<at::Tensor> Everything() const {
    std::vector<at::Tensor> all = {Weights(), table.values().cpu()};
    for (const auto& [name, tensor] : optimizer->state()) all.push_back(tensor.cpu());
    for (const auto& [name, tensor] : model.buffers()) all.push_back(tensor.cpu());
    return all;
  }
  at::Tensor Weights() const {
    std::vector<at::Tensor> flat;
    for (const auto& [name, parameter] : model.parameters())
      flat.push_back(parameter.detach().flatten().cpu());
    return at::cat(flat);
  }

  OrderPlan plan;
  LaneRange lanes;
  at::ScalarType dtype;
  at::Device device;
  ClipModel model;
  std::unique_ptr<ContrastiveObjective> objective;
  SampleTable table;
  std::unique_ptr<Optimizer> optimizer;
  TrainStep step;
};

}  // namespace fastclip

#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/core/Stream.h>

#include <cstdint>
#include <memory>
#include <memory_resource>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "pipeline/base/counter_random.h"
#include "tokenizer/tokenizer.h"
#include "trainer/config/config.h"
#include "trainer/step/learner.h"

namespace fastclip {

/// Captions of a batch, as a loader gives them.
struct BenchCaptions {
  std::pmr::vector<TokenId> tokens;     ///< [rows, context]
  std::pmr::vector<std::int64_t> pool;  ///< [rows]
};

/// Of the steps after the first ones.
struct StepTiming {
  std::vector<double> seconds;   ///< of each step
  double step_seconds = 0;       ///< the median; on a GPU, where steps overlap, the mean
  double core_seconds = 0;       ///< the same, of all cores
  std::int64_t text_tokens = 0;  ///< computed in a step, padding included
  std::size_t text_groups = 0;
  double peak_mb = 0;      ///< of the process, above `start_mb`
  double gpu_peak_mb = 0;  ///< of tensors on the GPU since the start of the process; else 0
};

/// Complete training steps of a config on synthetic images and captions.
class StepBench {
 public:
  /// `captions`: a file of real ones; empty: made up. `classes`: of adapt.task = classify, whose
  /// steps have labels in place of captions. The config is borrowed.
  StepBench(const TrainConfig& config, const ModelConfig& model, double start_mb, at::Device device,
            std::int64_t classes = 0, const std::string& captions = {});

  const ModelConfig& model_config() const { return model_config_; }
  const ClipModel& model() const { return learner_.model; }
  const BenchCaptions& real() const { return real_; }
  const BenchCaptions& full() const { return full_; }

  /// At least two steps after the first ones, for about `seconds`. On a GPU as the trainer: batches
  /// are copied beside the steps, and results are read once the next step is enqueued.
  StepTiming Time(const BenchCaptions& captions, double seconds);
  /// The tensors of the first micro-batch of a step.
  MicroBatch Inputs(const BenchCaptions& captions) const;
  /// What a peer needs to do the same steps, and our features of the real captions to check it by.
  void WriteInputs(const std::string& path, const std::string& setup);

 private:
  at::ScalarType ParameterType() const;
  std::vector<MicroBatch> MakeMicro(const BenchCaptions& captions,
                                    std::span<const std::int64_t> indices) const;

  const TrainConfig& config_;
  double start_mb_;
  at::Device device_;
  std::optional<c10::Stream> copies_;  // of a GPU
  ModelConfig model_config_;
  std::int64_t rows_;
  OrderPlan plan_;
  std::unique_ptr<Communicator> comm_;
  Learner learner_;
  CounterRandom random_;
  std::int64_t classes_;
  std::pmr::vector<std::uint8_t> pixels_;
  BenchCaptions real_, full_;
};

}  // namespace fastclip

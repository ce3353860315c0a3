#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Stream.h>

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "comm/device_graph.h"
#include "trainer/objective/sample_table.h"
#include "trainer/step/step_sums.h"
#include "trainer/step/step_work.h"

namespace fastclip {

/// The work of training steps, which is recorded once and then repeated with one launch
/// (train.cuda_graphs). For one rank, whose steps all have the same shapes.
///
/// All that changes from step to step is copied into tensors that stay where they are, before the
/// work: batch, rows of the table, learning rates, γ. So the first steps, which are not recorded,
/// give the numbers of those that are.
class RecordedStep {
 public:
  using Work = std::function<StepOutcome(const StepWork&)>;
  /// Steps before the one that is recorded: libraries choose their kernels, and memory is taken.
  static constexpr int kWarmUp = 3;

  /// `work` must enqueue the same kernels in every call, without a wait of the host.
  /// `before_record` frees what the steps before hold and the record makes anew: the memory of a
  /// record is its own. Throws std::runtime_error if the device cannot record.
  RecordedStep(at::Device device, Work work, std::function<void()> before_record);

  /// Enqueues a step. `rows`: those of its samples, on a table on the device. The outcome's tensor
  /// holds this step's values until the next step's work. `kept` gets what is still copied from.
  StepOutcome Run(const StepInput& input, const SampleTable::Rows& rows,
                  std::vector<at::Tensor>& kept);

 private:
  void Copy(const StepInput& input, const SampleTable::Rows& rows, std::vector<at::Tensor>& kept);
  void CopyBatch(std::span<const MicroBatch> micro);
  void CopyNumbers(const StepInput& input, std::vector<at::Tensor>& kept);
  void RecordOrRun();

  at::Device device_;
  Work work_;
  std::function<void()> before_record_;
  std::unique_ptr<DeviceGraph> graph_;
  c10::Stream stream_;  // of all steps up to the recording, which cannot be on the default one
  int runs_ = 0;

  // What the work reads.
  std::vector<MicroBatch> micro_;
  SampleTable::Rows rows_;
  at::Tensor numbers_;  // float64
  StepWork reads_;

  std::optional<StepOutcome> outcome_;  // with the memory that the record writes
};

}  // namespace fastclip

#include "trainer/step/column_calibration.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "trainer/adapt/calibrate.h"
#include "trainer/model/autocast.h"

namespace fastclip {
namespace {

/// Captions of one length at a time: without padding, whatever they are batched with.
void EncodeCaptions(const ClipModel& model, const MicroBatch& micro) {
  const at::Tensor ends = micro.pool.to(at::kCPU);
  const at::Tensor lengths = std::get<0>(at::_unique(ends, /*sorted=*/true));
  for (std::int64_t i = 0; i < lengths.numel(); ++i) {
    const auto end = lengths[i].item<std::int64_t>();
    const at::Tensor rows = ends.eq(end).nonzero().squeeze(1).to(micro.tokens.device());
    model.EncodeText(micro.tokens.index_select(0, rows).narrow(1, 0, end + 1),
                     micro.pool.index_select(0, rows));
  }
}

void AddTo(at::Tensor& sum, const at::Tensor& part) {
  if (!part.defined()) return;
  sum = sum.defined() ? sum + part : part;
}

}  // namespace

ColumnCalibration::ColumnCalibration(ClipModel& model, TrainStep& step, Communicator& comm,
                                     CalibrationNeed need, std::optional<at::ScalarType> autocast)
    : model_(model), step_(step), comm_(comm), need_(need), autocast_(autocast) {}

void ColumnCalibration::Add(const StepInput& input) {
  AddActivations(input);
  if (need_ == CalibrationNeed::kGradients) AddGradients(input);
}

void ColumnCalibration::AddActivations(const StepInput& input) {
  const Calibration calibration(model_, {});
  const at::NoGradGuard no_grad;
  for (const MicroBatch& micro : input.micro) {
    const AutocastGuard autocast(micro.images.device().type(), autocast_);
    // As in evaluation: a ResNet's running statistics stay.
    model_.EncodeImage(micro.images, TowerMode::kEvaluate, micro.kept_patches);
    if (micro.tokens.defined()) EncodeCaptions(model_, micro);
  }
  for (const auto& [site, of] : calibration.statistics()) {
    AddTo(sums_[site].activation, of.activation);
  }
}

void ColumnCalibration::AddGradients(const StepInput& input) {
  Calibration calibration(model_, {.gradients = true});
  step_.Backward(input);
  calibration.EndBatch([&](at::Tensor& gradient) { comm_.AllReduceSum(gradient); });
  for (const auto& [site, of] : calibration.statistics()) {
    AddTo(sums_[site].gradient, of.gradient);  // of all ranks already
  }
  comm_.CallsSoFar()->Wait();  // the host waits for the copies of the next batch
}

std::map<std::string, ColumnStatistics> ColumnCalibration::Finish() {
  for (auto& [site, of] : sums_) comm_.AllReduceSum(of.activation);
  comm_.CallsSoFar()->Wait();  // the host reads the sums
  return std::move(sums_);
}

}  // namespace fastclip

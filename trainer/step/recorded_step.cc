#include "trainer/step/recorded_step.h"

#include <ATen/ATen.h>
#include <c10/core/Event.h>
#include <c10/core/GradMode.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <stdexcept>
#include <utility>

namespace fastclip {
namespace {

enum Number { kModelRate, kTauRate, kLogGamma, kLogRest, kEpoch, kTalk, kNumbers };

/// Copies into `fixed`, which the first call makes with the strides of `given`.
void CopyInto(at::Tensor& fixed, const at::Tensor& given, bool first) {
  if (first && given.defined()) fixed = at::empty_like(given);
  if (fixed.defined() != given.defined() ||
      (given.defined() && fixed.scalar_type() != given.scalar_type())) {
    throw std::logic_error("a recorded step has tensors of other kinds");
  }
  if (!given.defined()) return;
  if (fixed.sizes() != given.sizes()) {
    throw std::logic_error(fmt::format("a recorded step has a tensor of shape [{}], not [{}]",
                                       fmt::join(fixed.sizes(), ", "),
                                       fmt::join(given.sizes(), ", ")));
  }
  fixed.copy_(given, /*non_blocking=*/true);
}

/// What is enqueued on `later` from now on waits for what is on `earlier`.
void Order(const c10::Stream& earlier, const c10::Stream& later) {
  c10::Event done(earlier.device_type());
  done.record(earlier);
  done.block(later);
}

/// Orders `later` behind `earlier` at its end, also where the work between threw: what is saved
/// then is read on `later`.
class OrderAtEnd {
 public:
  OrderAtEnd(const c10::Stream& earlier, const c10::Stream& later)
      : earlier_(earlier), later_(later) {}
  ~OrderAtEnd() {
    try {
      Order(earlier_, later_);
    } catch (const std::exception&) {  // the device fails: the next call says so
    }
  }
  OrderAtEnd(const OrderAtEnd&) = delete;
  OrderAtEnd& operator=(const OrderAtEnd&) = delete;

 private:
  c10::Stream earlier_, later_;
};

std::unique_ptr<DeviceGraph> GraphOf(at::Device device) {
  auto graph = MakeDeviceGraph(device.type());
  if (!graph) {
    throw std::runtime_error(
        fmt::format("train.cuda_graphs: steps on {} cannot be recorded; set train.cuda_graphs = "
                    "false",
                    device.str()));
  }
  return graph;
}

}  // namespace

RecordedStep::RecordedStep(at::Device device, Work work, std::function<void()> before_record)
    : device_(device),
      work_(std::move(work)),
      before_record_(std::move(before_record)),
      graph_(GraphOf(device)),
      stream_(c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device)),
      numbers_(at::zeros({kNumbers}, at::TensorOptions(at::kDouble).device(device))) {
  reads_.scalars.on_device = {.log_gamma = numbers_[kLogGamma],
                              .log_rest = numbers_[kLogRest],
                              .lr_tau = numbers_[kTauRate],
                              .epoch = numbers_[kEpoch]};
  reads_.rates.model_on_device = numbers_[kModelRate];
  reads_.rates.tau_on_device = numbers_[kTauRate];
  reads_.talk = numbers_[kTalk];
}

void RecordedStep::CopyBatch(std::span<const MicroBatch> micro) {
  const bool first = runs_ == 0;
  if (first) micro_.resize(micro.size());
  if (micro_.size() != micro.size()) {
    throw std::logic_error(
        fmt::format("a recorded step has {} micro-batches, not {}", micro_.size(), micro.size()));
  }
  for (std::size_t i = 0; i < micro.size(); ++i) {
    if (!micro[i].groups.groups.empty() || micro[i].kept_patches.defined()) {
      throw std::logic_error("a recorded step cannot have length groups or patch dropout");
    }
    CopyInto(micro_[i].images, micro[i].images, first);
    CopyInto(micro_[i].tokens, micro[i].tokens, first);
    CopyInto(micro_[i].pool, micro[i].pool, first);
  }
}

void RecordedStep::CopyNumbers(const StepInput& input, std::vector<at::Tensor>& kept) {
  const at::Tensor host = at::empty({kNumbers}, at::TensorOptions(at::kDouble).pinned_memory(true));
  auto* const numbers = host.mutable_data_ptr<double>();
  numbers[kModelRate] = input.rates.model;
  numbers[kTauRate] = input.rates.tau;
  numbers[kLogGamma] = std::log(input.gamma);
  numbers[kLogRest] = std::log1p(-input.gamma);
  numbers[kEpoch] = static_cast<double>(input.epoch);
  numbers[kTalk] = input.wants_talk && input.wants_talk() ? 1 : 0;
  numbers_.copy_(host, /*non_blocking=*/true);
  kept.push_back(host);
  if (input.rates.tau_on_device.defined()) numbers_[kTauRate].copy_(input.rates.tau_on_device);
}

void RecordedStep::Copy(const StepInput& input, const SampleTable::Rows& rows,
                        std::vector<at::Tensor>& kept) {
  const c10::NoGradGuard no_grad;
  if (rows.on_table.defined() && rows.on_table.device() != device_) {
    throw std::logic_error("a recorded step has its state in host memory");
  }
  CopyBatch(input.micro);
  CopyInto(rows_.on_table, rows.on_table, runs_ == 0);
  rows_.count = rows.count;
  CopyNumbers(input, kept);
  reads_.micro = micro_;
  reads_.rows = rows_;
}

void RecordedStep::RecordOrRun() {
  const c10::Stream compute = c10::impl::VirtualGuardImpl(device_.type()).getStream(device_);
  Order(compute, stream_);
  const OrderAtEnd after(stream_, compute);
  const c10::StreamGuard guard(stream_);
  reads_.is_carried_out = runs_ < kWarmUp;
  if (reads_.is_carried_out) {
    outcome_ = work_(reads_);
    return;
  }
  outcome_.reset();
  before_record_();
  graph_->Record([&] { outcome_ = work_(reads_); });
}

StepOutcome RecordedStep::Run(const StepInput& input, const SampleTable::Rows& rows,
                              std::vector<at::Tensor>& kept) {
  Copy(input, rows, kept);
  if (runs_ <= kWarmUp) {
    try {
      RecordOrRun();
    } catch (const c10::OutOfMemoryError&) {
      throw;
    } catch (const std::exception& error) {
      if (runs_ < kWarmUp) throw;
      throw std::runtime_error(fmt::format(
          "train.cuda_graphs: the step could not be recorded; set train.cuda_graphs = false ({})",
          error.what()));
    }
    ++runs_;
  }
  if (runs_ > kWarmUp) graph_->Replay();
  return *outcome_;
}

}  // namespace fastclip

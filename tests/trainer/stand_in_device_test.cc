// The device of tests/support/stand_in_device.h: what it shows, and the checks of device_test.cc on
// it.

#include "tests/support/stand_in_device.h"

#include <ATen/ATen.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/trainer/device_under_test.h"

namespace fastclip {
namespace device_under_test {

std::string Open() {
  stand_in::Register();
  return "";
}
int count() { return stand_in::kDevices; }
c10::Device Device(int index) { return stand_in::Device(index); }
c10::Allocator& PinnedMemory() { return stand_in::PinnedMemory(); }
double repeat_tolerance() { return 0; }
void ResetHostWaits() { stand_in::ResetCounts(); }
std::optional<HostWaits> host_waits() {
  const stand_in::Counts counts = stand_in::counts();
  return HostWaits{counts.host_reads + counts.event_waits, counts.blocking_copies,
                   counts.late_copies};
}

}  // namespace device_under_test

namespace {

const at::Device kDevice = stand_in::Device();

class StandInDevice : public testing::Test {
 protected:
  void SetUp() override {
    stand_in::Register();
    stand_in::ResetCounts();
  }
  static at::Tensor Pinned(const std::vector<float>& values) {
    const at::Tensor tensor = at::empty({static_cast<std::int64_t>(values.size())});
    c10::DataPtr data = stand_in::PinnedMemory().allocate(tensor.nbytes());
    at::Tensor pinned = at::empty({0}).set_(
        c10::Storage(c10::Storage::use_byte_size_t(), tensor.nbytes(), std::move(data)), 0,
        tensor.sizes(), tensor.strides());
    std::copy(values.begin(), values.end(), pinned.mutable_data_ptr<float>());
    return pinned;
  }
};

TEST_F(StandInDevice, ComputesAsTheCpu) {
  const at::Tensor x = at::arange(12, at::kFloat).view({3, 4});
  const at::Tensor y = x.to(kDevice);
  EXPECT_EQ(y.device(), kDevice);
  EXPECT_TRUE(at::equal((y.t().matmul(y) * 2 + 1).cpu(), x.t().matmul(x) * 2 + 1));
  at::Tensor part = y.narrow(0, 1, 2);
  part.add_(1);  // in place, through a view
  EXPECT_TRUE(at::equal(y.cpu(), at::cat({x.narrow(0, 0, 1), x.narrow(0, 1, 2) + 1})));
  const at::Tensor leaf = y.clone().set_requires_grad(true);
  (leaf * leaf).sum().backward();
  EXPECT_TRUE(at::equal(leaf.grad().cpu(), 2 * y.cpu()));
}

TEST_F(StandInDevice, RefusesACpuTensorInADeviceOp) {
  const at::Tensor x = at::ones({3}).to(kDevice);
  EXPECT_THROW(x + at::ones({3}), std::exception);
  EXPECT_THROW(x.index_select(0, at::zeros({1}, at::kLong)), std::exception);
  EXPECT_NO_THROW(x + at::ones({}));
}

TEST_F(StandInDevice, CountsWhatTheHostWaitsFor) {
  const at::Tensor x = at::ones({3}).to(kDevice);
  EXPECT_EQ(stand_in::counts().blocking_copies, 1);
  EXPECT_EQ(stand_in::counts().host_reads, 0);
  EXPECT_EQ(x.sum().item<float>(), 3);
  x.cpu();
  EXPECT_EQ(stand_in::counts().host_reads, 2);
}

TEST_F(StandInDevice, CountsWaitsBehindWhichNothingIsEnqueued) {
  const at::Tensor x = at::ones({3}).to(kDevice);
  c10::Event done(kDevice.type());
  for (const bool more : {true, false}) {
    done.record(c10::impl::VirtualGuardImpl(kDevice.type()).getStream(kDevice));
    if (more) x.add(1);
    done.synchronize();
  }
  EXPECT_EQ(stand_in::counts().event_waits, 2);
  EXPECT_EQ(stand_in::counts().idle_waits, 1);
}

TEST_F(StandInDevice, CountsUploadsThatStandBehindItsOps) {
  const c10::impl::VirtualGuardImpl device(kDevice.type());
  const at::Tensor source = Pinned({1, 2, 3}), target = at::empty({3}, at::TensorOptions(kDevice));
  const c10::Stream compute = device.exchangeStream(device.getNewStream(kDevice));
  target.copy_(source, /*non_blocking=*/true);
  EXPECT_EQ(stand_in::counts().uploads_behind_ops, 0);
  device.exchangeStream(compute);
  target.copy_(source, /*non_blocking=*/true);
  EXPECT_EQ(stand_in::counts().uploads_behind_ops, 1);
  EXPECT_EQ(stand_in::counts().late_copies, 2);
}

TEST_F(StandInDevice, RefusesToWaitBehindACallOfOtherRanks) {
  const c10::impl::VirtualGuardImpl device(kDevice.type());
  const c10::Stream compute = device.getStream(kDevice), other = device.getNewStream(kDevice);
  c10::Event before(kDevice.type()), behind(kDevice.type());
  at::Tensor x = at::ones({3}).to(kDevice);
  before.record(compute);
  const stand_in::CallEnd end = stand_in::EnqueueCall(kDevice);
  behind.record(compute);
  behind.block(other);
  x = x + 1;
  EXPECT_NO_THROW(before.synchronize());
  EXPECT_THROW(behind.synchronize(), std::logic_error);
  EXPECT_THROW(other.synchronize(), std::logic_error);
  EXPECT_THROW(x.sum().item<float>(), std::logic_error);
  EXPECT_THROW(x.cpu(), std::logic_error);
  EXPECT_THROW(x.nonzero(), std::logic_error);
  EXPECT_THROW(at::ones({3}).to(kDevice), std::logic_error) << "the host waits for the copy";
  *end = true;
  EXPECT_EQ(x.sum().item<float>(), 6);
  other.synchronize();
}

TEST_F(StandInDevice, ShowsAWaitThatWasForgotten) {
  const c10::impl::VirtualGuardImpl device(kDevice.type());
  const c10::Stream compute = device.getStream(kDevice), copies = device.getNewStream(kDevice);
  const at::Tensor source = Pinned({1, 2, 3});
  const at::Tensor target = at::empty({3}, at::TensorOptions(kDevice));
  device.exchangeStream(copies);
  target.copy_(source, /*non_blocking=*/true);
  c10::Event ready(kDevice.type());
  ready.record(copies);
  device.exchangeStream(compute);
  EXPECT_TRUE(at::isnan(target.sum()).item<bool>());
  ready.block(compute);
  EXPECT_EQ(target.sum().item<float>(), 6);
}

TEST_F(StandInDevice, ShowsPinnedMemoryThatWasGivenBackTooEarly) {
  const at::Tensor target = at::empty({3}, at::TensorOptions(kDevice));
  target.copy_(Pinned({1, 2, 3}), /*non_blocking=*/true);
  EXPECT_TRUE(at::isnan(target.sum()).item<bool>());
}

}  // namespace
}  // namespace fastclip

#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>

#include <vector>

namespace fastclip::stand_in {

/// Makes MakeDeviceGraph() record ops of the device, in this process.
///
/// As on a GPU, nothing is carried out while it is recorded, a wait of the host or a copy between
/// host and device throws then, and a repetition works on the memory of the recording, also where
/// that now holds other values. Ops whose results could have another shape throw.
void RegisterGraphs();
/// For tests: graphs that do at each Replay() what Record() was given, op by op.
void RegisterEagerGraphs();

/// For stand_in_device.cc. `arguments` and `results` alias the device's memory on the CPU.
bool IsRecording();
/// Before an op, or a copy between tensors of the device: what it may write, to be put back.
void BeforeRecordedOp(const std::vector<at::Tensor>& arguments);
/// After it. `is_view`: there is nothing to repeat.
void RecordOp(const c10::OperatorHandle& op, const torch::jit::Stack& arguments,
              const torch::jit::Stack& results, bool is_view);
void RecordCopy(const at::Tensor& from, const at::Tensor& to);
/// Throws std::logic_error while a graph is recorded.
void RefuseInRecording(const char* what);

}  // namespace fastclip::stand_in

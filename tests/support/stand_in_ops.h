#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>

#include <functional>

namespace fastclip::stand_in {

/// For the files of the stand-in device alone: runs a call with tensors of the device by its CPU
/// kernel, and counts it. The results replace the arguments on the stack.
void RunOnHost(const c10::OperatorHandle& op, torch::jit::Stack* stack);
/// Runs recorded ops behind what the current stream still has to do; counted as one.
void RepeatOnHost(const std::function<void()>& ops);

}  // namespace fastclip::stand_in

#include "comm/comm_error.h"

#include <c10/util/Exception.h>

#include <new>

namespace fastclip {

std::string ErrorText(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) {
    return "out of memory on this machine; use a smaller batch, smaller images or fewer threads";
  }
  const auto* c10_error = dynamic_cast<const c10::Error*>(&error);  // carries a stack
  std::string text = c10_error != nullptr ? c10_error->what_without_backtrace() : error.what();
  text = text.substr(0, text.find('\n'));
  if (dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr) {
    return "out of GPU memory (" + text +
           "); raise train.micro_batches, set train.grad_checkpointing, or use a smaller batch";
  }
  return text.empty() ? "unknown error" : text;
}

}  // namespace fastclip

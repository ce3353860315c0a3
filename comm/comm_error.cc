#include "comm/comm_error.h"

#include <c10/util/Exception.h>

#include <new>

namespace fastclip {

std::string ErrorText(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) {
    return "this machine's memory is used up; a smaller batch, smaller pictures or fewer threads "
           "need less";
  }
  const auto* c10_error = dynamic_cast<const c10::Error*>(&error);  // carries a stack
  std::string text = c10_error != nullptr ? c10_error->what_without_backtrace() : error.what();
  text = text.substr(0, text.find('\n'));
  if (dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr) {
    return "the GPU's memory is used up (" + text +
           "); train.micro_batches, train.grad_checkpointing or a smaller batch need less";
  }
  return text.empty() ? "unknown error" : text;
}

}  // namespace fastclip

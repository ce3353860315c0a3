#pragma once

#include <stdexcept>

namespace fastclip {

/// Another rank did not do its part, or cannot be reached. What this rank did itself was in order.
class CommError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace fastclip

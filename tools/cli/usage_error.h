#pragma once

#include <stdexcept>

namespace fastclip {

/// Wrong use of a command: exit code 2.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace fastclip

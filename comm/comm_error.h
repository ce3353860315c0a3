#pragma once

#include <exception>
#include <stdexcept>
#include <string>

namespace fastclip {

/// Another rank did not do its part, or cannot be reached. What this rank did itself was in order.
class CommError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Exit code of a rank that ends for another's fault: to try again may work (EX_TEMPFAIL).
inline constexpr int kOtherRankFailed = 75;

/// What to tell a user of an error: one line, with a hint where memory was short.
std::string ErrorText(const std::exception& error);

}  // namespace fastclip

#pragma once

#include <exception>
#include <stdexcept>
#include <string>

namespace fastclip {

/// Another rank failed or cannot be reached; this rank itself did not fail.
class CommError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Exit code of a rank that ends because another rank failed; a retry can work (EX_TEMPFAIL).
inline constexpr int kOtherRankFailed = 75;

/// The error as one line for the user, with a hint if memory ran out.
std::string ErrorText(const std::exception& error);

}  // namespace fastclip

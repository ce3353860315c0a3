#pragma once

#include <exception>
#include <string>

namespace fastclip {

/// What the exception says that `act` throws; empty if it throws none. Exceptions that are no
/// `Exception` pass through and fail the test.
template <class Exception = std::exception, class Act>
std::string ErrorOf(const Act& act) {
  try {
    act();
  } catch (const Exception& error) {
    return error.what();
  }
  return "";
}

}  // namespace fastclip

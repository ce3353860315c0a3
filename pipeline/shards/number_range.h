#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace fastclip {

/// The numbers that a pair of braces stands for: {00000..00331}, or {0..9..3} in steps of 3.
struct NumberRange {
  std::int64_t first;
  std::int64_t step;  ///< negative for {9..0}
  std::int64_t count;
  std::size_t width;  ///< zeros fill up to it; 0: none

  /// The number at place `i`, from 0.
  std::string Name(std::int64_t i) const;
};

/// Parses what stands between the braces. Throws std::runtime_error for a text that is not a range,
/// and for more than kMaxListedFiles numbers.
NumberRange ParseNumberRange(std::string_view text);

}  // namespace fastclip

#pragma once

#include <array>
#include <cstdint>

namespace fastclip {

/// A keyed shuffle of [0, size): any place in O(1) time and memory, in both directions. Part of the
/// order's format, frozen by test vectors.
///
/// A Feistel network over a × b ≥ size, a = ⌈√size⌉, whose rounds add modulo a and modulo b (Black
/// and Rogaway, 2002). Values past the end are permuted again until they are inside (cycle
/// walking).
class Permutation {
 public:
  /// REQUIRES: 0 < size < 2^62.
  Permutation(std::uint64_t key, std::int64_t size);

  std::int64_t size() const { return static_cast<std::int64_t>(size_); }
  /// The value at a place. REQUIRES: 0 ≤ place < size().
  std::int64_t At(std::int64_t place) const;
  /// The place of a value: Inverse(At(i)) == i.
  std::int64_t Inverse(std::int64_t value) const;

 private:
  // Eight rounds: with fewer, shuffles of three or four values are visibly uneven.
  static constexpr int kRounds = 8;

  std::uint64_t Forward(std::uint64_t x) const;
  std::uint64_t Backward(std::uint64_t x) const;

  std::uint64_t size_;
  std::uint64_t a_;
  std::uint64_t b_;
  std::array<std::uint64_t, kRounds> round_keys_;
};

}  // namespace fastclip

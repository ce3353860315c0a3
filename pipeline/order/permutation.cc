#include "pipeline/order/permutation.h"

#include <cassert>
#include <cmath>

#include "pipeline/base/counter_random.h"

namespace fastclip {
namespace {

std::uint64_t CeilSqrt(std::uint64_t n) {
  // The hardware's root is only a first guess: the result is part of a format.
  auto root = static_cast<std::uint64_t>(std::sqrt(static_cast<double>(n)));
  while (root * root < n) ++root;
  while (root > 1 && (root - 1) * (root - 1) >= n) --root;
  return root;
}

std::uint64_t RoundValue(std::uint64_t round_key, std::uint64_t x) {
  return MixBits((round_key ^ x) + kSplitMixStep);
}

/// Permutes until the value is inside.
template <class Permute>
std::int64_t CycleWalk(std::int64_t start, std::uint64_t size, const Permute& permute) {
  auto x = static_cast<std::uint64_t>(start);
  do x = permute(x);
  while (x >= size);
  return static_cast<std::int64_t>(x);
}

}  // namespace

Permutation::Permutation(std::uint64_t key, std::int64_t size)
    : size_(static_cast<std::uint64_t>(size)), a_(CeilSqrt(size_)), b_((size_ + a_ - 1) / a_) {
  assert(size > 0 && size < (std::int64_t{1} << 62));
  for (int round = 0; round < kRounds; ++round) round_keys_[round] = Mix(key, round);
}

std::uint64_t Permutation::Forward(std::uint64_t x) const {
  std::uint64_t left = x % a_;
  std::uint64_t right = x / a_;
  for (int round = 0; round < kRounds; round += 2) {
    left = (left + RoundValue(round_keys_[round], right) % a_) % a_;
    right = (right + RoundValue(round_keys_[round + 1], left) % b_) % b_;
  }
  return left + right * a_;
}

std::uint64_t Permutation::Backward(std::uint64_t x) const {
  std::uint64_t left = x % a_;
  std::uint64_t right = x / a_;
  for (int round = kRounds; round > 0; round -= 2) {
    right = (right + b_ - RoundValue(round_keys_[round - 1], left) % b_) % b_;
    left = (left + a_ - RoundValue(round_keys_[round - 2], right) % a_) % a_;
  }
  return left + right * a_;
}

std::int64_t Permutation::At(std::int64_t place) const {
  assert(place >= 0 && place < size());
  return CycleWalk(place, size_, [this](std::uint64_t x) { return Forward(x); });
}

std::int64_t Permutation::Inverse(std::int64_t value) const {
  assert(value >= 0 && value < size());
  return CycleWalk(value, size_, [this](std::uint64_t x) { return Backward(x); });
}

}  // namespace fastclip

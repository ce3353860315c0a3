#pragma once

#include <concepts>
#include <cstdint>

namespace fastclip {

/// What a random number is used for. With replacement, the epoch of the order, crops and captions
/// is the window, and that of patches the step. Streams never share numbers. The values are part of
/// the order's format: append only.
enum class RandomStream : std::uint64_t {
  kCrop = 1,         ///< RandomCrop, by (seed, epoch, index)
  kCaption = 2,      ///< ChooseCaption, by (seed, epoch, index)
  kDeal = 3,         ///< OrderPlan: chunks to lanes, by (chunks, lanes), not by the seed
  kChunks = 4,       ///< OrderPlan: a lane's chunks, by (seed, epoch, lane)
  kPlaces = 5,       ///< OrderPlan: places in a window, by (seed, epoch, lane, window)
  kSubstitutes = 6,  ///< OrderPlan: substitutes, by (seed, epoch, lane, window, step in the epoch)
  kPatches = 7,      ///< KeptPatches, by (seed, epoch, index)
  kParts = 8,        ///< OrderPlan: the seed of a part of a mix, by (seed, part)
  kUnits = 9,        ///< UnitScores, by (seed, tower and group, block)
  kDropout = 10,      ///< Dropped: masks, by (seed, step, rank, micro-batch, site)
};

/// Steele, Lea and Flood's SplitMix64 finalizer: a bijection of 64-bit words in which every input
/// bit moves about half of the output bits. MixBits(0) is 0.
constexpr std::uint64_t MixBits(std::uint64_t word) {
  word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9ULL;
  word = (word ^ (word >> 27)) * 0x94d049bb133111ebULL;
  return word ^ (word >> 31);
}

/// SplitMix64's step between two states: 2^64 over the golden ratio.
constexpr std::uint64_t kSplitMixStep = 0x9e3779b97f4a7c15ULL;

/// A key from any number of words; their order matters. Changing only the last word always changes
/// the key. Frozen by tests: the orders, crops and captions of stored runs depend on it.
constexpr std::uint64_t Mix(std::convertible_to<std::uint64_t> auto... words) {
  std::uint64_t key = 0;
  ((key = MixBits((key ^ static_cast<std::uint64_t>(words)) + kSplitMixStep)), ...);
  return key;
}

/// Random numbers as a function of (seed, stream, a, b) and the number of earlier draws. No
/// generator is shared, so no result depends on threads or call order.
///
/// SplitMix64 started at Mix(seed, stream, a, b). Uses only integer arithmetic and one exact
/// multiplication by a power of two, so it is bit-identical on every machine.
class CounterRandom {
 public:
  constexpr CounterRandom(std::uint64_t seed, RandomStream stream, std::uint64_t a, std::uint64_t b)
      : CounterRandom(Mix(seed, static_cast<std::uint64_t>(stream), a, b)) {}
  /// The SplitMix64 sequence that starts at `key`.
  constexpr explicit CounterRandom(std::uint64_t key) : state_(key) {}

  /// 64 uniform bits.
  constexpr std::uint64_t Next() { return MixBits(state_ += kSplitMixStep); }

  /// Uniform in [0, 1), a multiple of 2^-53.
  constexpr double Uniform() { return static_cast<double>(Next() >> 11) * 0x1p-53; }

  /// Uniform in [0, n), without bias: Lemire's multiplication, drawing again in the rare short
  /// cases. REQUIRES: n > 0.
  constexpr std::uint64_t Below(std::uint64_t n) {
    __extension__ using Wide = unsigned __int128;
    Wide product = static_cast<Wide>(Next()) * n;
    if (static_cast<std::uint64_t>(product) < n) {
      const std::uint64_t short_cases = (0 - n) % n;
      while (static_cast<std::uint64_t>(product) < short_cases) {
        product = static_cast<Wide>(Next()) * n;
      }
    }
    return static_cast<std::uint64_t>(product >> 64);
  }

 private:
  std::uint64_t state_;
};

}  // namespace fastclip

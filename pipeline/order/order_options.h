#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace fastclip {

/// What happens to records that do not fill the last batch of an epoch.
enum class Tail : std::uint8_t {
  kDrop,   ///< skipped in this epoch; other records are in the next
  kPad,    ///< the last batch is filled with records already seen
  kCarry,  ///< moved to the next epoch; its first batch has records of both
};
/// "drop", "pad", "carry".
const char* TailName(Tail tail);
/// The tail with that name. Throws std::invalid_argument.
Tail TailOfName(std::string_view name);

/// One source of a mix.
struct MixPart {
  std::int64_t size = 0;  ///< records
  std::int64_t rows = 0;  ///< its rows per epoch; 0: none
  bool operator==(const MixPart&) const = default;
};

/// Defines the order of a run. Stored in every checkpoint; zero means the default.
struct OrderOptions {
  /// Records of the source.
  std::int64_t size = 0;
  /// Rows of a global batch, over all ranks.
  std::int64_t batch_size = 0;
  /// Lanes: a divisor of batch_size. Default: the largest up to max(64, batch_size/128) that leaves
  /// each lane 4 rows or more. Independent of the world size, which can be at most this.
  std::int64_t lanes = 0;
  /// Consecutive records dealt together. Default: clamp(size / (64·lanes), 1, 64); in a mix, by the
  /// size of each part.
  std::int64_t chunk = 0;
  /// Records of a lane shuffled together, rounded up to whole chunks. Default: max(1024,
  /// 8·batch_size/lanes). A last window of less than half the size is merged into the one before
  /// it: if one step used almost the whole window, its bad records would have no substitutes.
  std::int64_t window = 0;
  std::uint64_t seed = 0;
  Tail tail = Tail::kDrop;
  /// For a mix: the sources in order. Their sizes add up to `size`, and an epoch is the sum of
  /// their rows. Empty: one source, and an epoch is its records.
  std::vector<MixPart> parts{};
  /// Draw records with replacement: each window of a lane draws its chunks again from all chunks of
  /// the lane. Without parts an epoch is `size` rows. Requires Tail::kDrop.
  bool resampled = false;
};

/// Fills in the defaults that do not depend on a source. Throws std::invalid_argument with the
/// reason and the nearest valid value.
OrderOptions ResolveOrder(OrderOptions options);

}  // namespace fastclip

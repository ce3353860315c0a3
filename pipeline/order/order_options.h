#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace fastclip {

/// What becomes of the records that do not fill a last batch of an epoch.
enum class Tail : std::uint8_t {
  kDrop,   ///< they sit this epoch out; others do in the next
  kPad,    ///< the last batch is filled up with records that were seen already
  kCarry,  ///< they begin the next epoch: its first batch holds records of both
};
/// "drop", "pad", "carry".
const char* TailName(Tail tail);
/// The tail of such a name. Throws std::invalid_argument.
Tail TailOfName(std::string_view name);

/// One source of a mix.
struct MixPart {
  std::int64_t size = 0;  ///< records
  std::int64_t rows = 0;  ///< of an epoch's rows, how many are its own; 0: none
  bool operator==(const MixPart&) const = default;
};

/// What fixes the order of a run. Stored in every checkpoint; a zero stands for the default.
struct OrderOptions {
  /// Records of the source.
  std::int64_t size = 0;
  /// Rows of a global batch, over all ranks.
  std::int64_t batch_size = 0;
  /// Lanes: a divisor of batch_size. Default: the largest up to max(64, batch_size/128) that leaves
  /// each lane 4 rows or more. Never a function of the world size, which may be at most this.
  std::int64_t lanes = 0;
  /// Consecutive records dealt together. Default: clamp(size / (64·lanes), 1, 64), of a mix by the
  /// size of each part.
  std::int64_t chunk = 0;
  /// Records of a lane shuffled together, rounded up to whole chunks. Default: max(1024,
  /// 8·batch_size/lanes). A rest of less than half a window joins the window before it: a window
  /// that a step plans nearly whole would leave its bad records without substitutes.
  std::int64_t window = 0;
  std::uint64_t seed = 0;
  Tail tail = Tail::kDrop;
  /// The sources one after the other, their sizes adding up to `size`, where they are mixed: an
  /// epoch is the sum of their rows. Empty: one source, an epoch is its records.
  std::vector<MixPart> parts{};
  /// Records come with replacement: each window of a lane draws its chunks anew from all that the
  /// lane has. Without parts an epoch is `size` rows. Only with Tail::kDrop.
  bool resampled = false;
};

/// With the defaults that do not depend on a source filled in. Throws std::invalid_argument with
/// the reason and the nearest value that works.
OrderOptions ResolveOrder(OrderOptions options);

}  // namespace fastclip

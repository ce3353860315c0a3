#pragma once

#include <cstdint>

namespace fastclip {

/// What a start of a run has read, over all ranks.
struct RecordTries {
  std::int64_t bad = 0;      ///< tries that gave a record that cannot be used
  std::int64_t tried = 0;    ///< all tries, those included; a record is tried once per epoch
  std::int64_t records = 0;  ///< of the data
};

/// Whether so many tries were bad that the run stops: more than `per_mille` of 1000
/// (data.max_skips_per_mille). Judged from 1000 tries on; fewer say little. A single bad record
/// never stops a run, however few there are: one bad try per epoch that was begun is allowed. With
/// 0 none is.
bool TooManyBad(const RecordTries& tries, double per_mille);

}  // namespace fastclip

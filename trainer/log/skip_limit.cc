#include "trainer/log/skip_limit.h"

#include <algorithm>

namespace fastclip {

bool TooManyBad(const RecordTries& tries, double per_mille) {
  constexpr std::int64_t kFewestTried = 1000;
  if (tries.tried < kFewestTried) return false;
  if (per_mille == 0) return tries.bad > 0;
  const std::int64_t records = std::max<std::int64_t>(tries.records, 1);
  const std::int64_t epochs_begun = (tries.tried - 1) / records + 1;
  if (tries.bad <= epochs_begun) return false;
  return 1000.0 * static_cast<double>(tries.bad) > per_mille * static_cast<double>(tries.tried);
}

}  // namespace fastclip

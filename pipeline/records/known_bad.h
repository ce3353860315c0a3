#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "pipeline/base/mutex.h"
#include "pipeline/records/record.h"

namespace fastclip {

/// A record that was skipped, and why.
struct SkippedRecord {
  SampleIndex index{};
  Skip cause{};
  bool operator==(const SkippedRecord&) const = default;
};

/// Records that are known to be bad. A loader skips directly to the substitute that it would find
/// anyway, so batches do not change; only reads are saved. About 50 bytes per record. Thread-safe.
class KnownBad {
 public:
  std::optional<Skip> Find(SampleIndex index) const {
    const MutexLock lock(mutex_);
    const auto found = causes_.find(ToInt(index));
    return found == causes_.end() ? std::nullopt : std::optional(found->second);
  }
  void Add(const SkippedRecord& record) {
    const MutexLock lock(mutex_);
    causes_.emplace(ToInt(record.index), record.cause);
  }
  /// Sorted by index.
  std::vector<SkippedRecord> All() const {
    const MutexLock lock(mutex_);
    std::vector<SkippedRecord> all;
    for (const auto& [index, cause] : causes_) all.push_back({SampleIndex{index}, cause});
    std::ranges::sort(all, {}, &SkippedRecord::index);
    return all;
  }

 private:
  mutable Mutex mutex_;
  std::unordered_map<std::int64_t, Skip> causes_ FASTCLIP_GUARDED_BY(mutex_);
};

}  // namespace fastclip

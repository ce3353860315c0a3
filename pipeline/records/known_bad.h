#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "pipeline/base/mutex.h"
#include "pipeline/records/record.h"

namespace fastclip {

/// A record that was skipped, and why.
struct SkippedRecord {
  SampleIndex index{};
  Skip cause{};
  std::string key{};
  bool operator==(const SkippedRecord&) const = default;
};

/// Records that are known to be bad. A loader skips directly to the substitute that it would find
/// anyway, so batches do not change; only reads are saved. About 100 bytes per record. Thread-safe.
class KnownBad {
 public:
  std::optional<SkippedRecord> Find(SampleIndex index) const {
    const MutexLock lock(mutex_);
    const auto found = records_.find(ToInt(index));
    return found == records_.end() ? std::nullopt : std::optional(found->second);
  }
  void Add(const SkippedRecord& record) {
    const MutexLock lock(mutex_);
    records_.emplace(ToInt(record.index), record);
  }
  /// Sorted by index.
  std::vector<SkippedRecord> All() const {
    const MutexLock lock(mutex_);
    std::vector<SkippedRecord> all;
    for (const auto& [index, record] : records_) all.push_back(record);
    std::ranges::sort(all, {}, &SkippedRecord::index);
    return all;
  }

 private:
  mutable Mutex mutex_;
  std::unordered_map<std::int64_t, SkippedRecord> records_ FASTCLIP_GUARDED_BY(mutex_);
};

}  // namespace fastclip

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

/// Records that are known to be of no use. A loader that knows one goes straight to its substitute,
/// which is what it would find by itself: batches do not depend on what is known, only the reads
/// that it saves. Some 50 bytes a record. Thread-safe.
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
  /// By index.
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

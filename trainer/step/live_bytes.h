#pragma once

#include <c10/core/Allocator.h>

#include <algorithm>
#include <cstdint>

namespace fastclip {

/// Counts CPU tensor memory that a thread allocates and frees while it holds
///     const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, live);
/// where `live` is a shared_ptr to a LiveBytes. Only one such guard per thread is active.
class LiveBytes final : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void*, std::int64_t bytes, std::size_t, std::size_t,
                         c10::Device) override {
    bytes_ += bytes;
    peak_ = std::max(peak_, bytes_);
  }
  bool memoryProfilingEnabled() const override { return true; }

  /// Bytes allocated and not yet freed.
  std::int64_t value() const { return bytes_; }
  /// The largest value() so far.
  std::int64_t peak() const { return peak_; }

 private:
  std::int64_t bytes_ = 0;
  std::int64_t peak_ = 0;
};

}  // namespace fastclip

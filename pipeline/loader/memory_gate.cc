#include "pipeline/loader/memory_gate.h"

#include <algorithm>

namespace fastclip {

bool MemoryGate::MayRead() const {
  return (held_ == 0 && reading_ == 0) || held_ + (reading_ + 1) * largest_ <= limit_;
}

std::int64_t MemoryGate::Queue(std::int64_t file_bytes) {
  // What was large once is forgotten over some thousand records.
  largest_ = std::max(file_bytes, largest_ - largest_ / 1024);
  return next_place_++;
}

bool MemoryGate::MayDecode(std::int64_t place, std::int64_t bytes) const {
  return place == served_ && (held_ == 0 || held_ + bytes + (reading_ - 1) * largest_ <= limit_);
}

void MemoryGate::BeginDecode(std::int64_t bytes) {
  ++served_;
  held_ += bytes;
}

}  // namespace fastclip

#pragma once

#include <cstdint>

namespace fastclip {

/// Bounds the bytes of the records that a loader reads, keeps and decodes. A record that is larger
/// than the limit goes alone. How large one is shows only when it was read: each that is being read
/// is taken for as large as the largest of late. Not thread-safe: the loader's mutex guards it.
class MemoryGate {
 public:
  explicit MemoryGate(std::int64_t limit) : limit_(limit) {}

  /// Whether one more record may be read.
  bool MayRead() const;
  /// REQUIRES: MayRead().
  void BeginRead() { ++reading_; }
  void EndRead() { --reading_; }

  /// A place in the queue of those whose record was read and waits to be decoded: small records
  /// must not starve a large one. `file_bytes`: of the record's picture.
  std::int64_t Queue(std::int64_t file_bytes);
  /// Whether it is this place's turn, and there is room for `bytes`: the record and its decoder.
  bool MayDecode(std::int64_t place, std::int64_t bytes) const;
  /// REQUIRES: MayDecode().
  void BeginDecode(std::int64_t bytes);
  void EndDecode(std::int64_t bytes) { held_ -= bytes; }
  /// Whether some place waits for its turn.
  bool AnyQueues() const { return next_place_ > served_; }

 private:
  const std::int64_t limit_;
  std::int64_t held_ = 0;     // bytes that may be decoded, or are
  std::int64_t reading_ = 0;  // records, those that wait to be decoded included
  std::int64_t largest_ = 0;  // bytes in its file, of late
  std::int64_t next_place_ = 0;
  std::int64_t served_ = 0;
};

}  // namespace fastclip

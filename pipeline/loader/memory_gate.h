#pragma once

#include <cstdint>

namespace fastclip {

/// Limits the bytes of records that a loader reads, keeps and decodes. A record larger than the
/// limit is processed alone. The size is only known after reading, so each record being read counts
/// as the largest recent one. Not thread-safe: the loader's mutex guards it.
class MemoryGate {
 public:
  explicit MemoryGate(std::int64_t limit) : limit_(limit) {}

  /// Whether another record can be read.
  bool MayRead() const;
  /// REQUIRES: MayRead().
  void BeginRead() { ++reading_; }
  void EndRead() { --reading_; }

  /// Takes a place in the queue of records that wait to be decoded, so that small records do not
  /// starve a large one. `file_bytes`: size of the record's image file.
  std::int64_t Queue(std::int64_t file_bytes);
  /// Whether it is this place's turn and there is room for `bytes`: the record and its decoder.
  bool MayDecode(std::int64_t place, std::int64_t bytes) const;
  /// REQUIRES: MayDecode().
  void BeginDecode(std::int64_t bytes);
  void EndDecode(std::int64_t bytes) { held_ -= bytes; }
  /// Whether any record waits in the queue.
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

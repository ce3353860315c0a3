#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "pipeline/records/skip.h"

namespace fastclip {

/// The pair's row in all per-sample state: dense, and the same in each epoch, rank and restart. It
/// comes from a manifest (the shard's first index + the position in the shard), never from a key.
enum class SampleIndex : std::int64_t {};

constexpr std::int64_t ToInt(SampleIndex index) { return static_cast<std::int64_t>(index); }

struct Caption {
  std::string_view text;
  float weight = 1;
};

/// One pair of a source: views into the block that holds it. If `skip` is set, the record keeps its
/// index, but its image and captions must not be used.
struct Record {
  SampleIndex index{};
  std::string_view key;
  std::span<const std::byte> image;
  std::span<const Caption> captions;
  std::int64_t label = -1;
  std::optional<Skip> skip;
};

/// Frees memory that records view. Large blocks are mapped separately, because malloc would keep
/// them after use and the loader would exceed its memory limit.
struct FreeRecordMemory {
  std::size_t mapped = 0;  ///< bytes mapped; 0: from the heap
  void operator()(std::byte* bytes) const noexcept;
};
using RecordMemory = std::unique_ptr<std::byte[], FreeRecordMemory>;
/// Throws std::bad_alloc.
RecordMemory MakeRecordMemory(std::size_t bytes);

/// Consecutive records and the memory that they view. Move-only; moving keeps the views valid.
struct RecordBlock {
  std::vector<Record> records;
  std::vector<Caption> captions;
  std::vector<RecordMemory> memory;

  RecordBlock() = default;
  RecordBlock(RecordBlock&&) = default;
  RecordBlock& operator=(RecordBlock&&) = default;
};

}  // namespace fastclip

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

/// The pair's row in every per-sample state: dense, the same in each epoch, rank and restart. It
/// comes from a manifest (the shard's first index + the place in the shard), never from a key.
enum class SampleIndex : std::int64_t {};

constexpr std::int64_t ToInt(SampleIndex index) { return static_cast<std::int64_t>(index); }

struct Caption {
  std::string_view text;
  float weight = 1;
};

/// One pair as it lies in its source: views into the block that holds it. Where `skip` is set the
/// record keeps its place, but image and captions are not to be used.
struct Record {
  SampleIndex index{};
  std::string_view key;
  std::span<const std::byte> image;
  std::span<const Caption> captions;
  std::int64_t label = -1;
  std::optional<Skip> skip;
};

/// Bytes that records view. Large ones are pages of their own: malloc would keep them, once it has
/// seen some come and go, and a loader would pass its limit by what lies unused.
struct FreeRecordMemory {
  std::size_t mapped = 0;  ///< bytes of such pages; 0: of the heap
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

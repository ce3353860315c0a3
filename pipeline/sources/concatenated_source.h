#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "pipeline/records/record_source.h"

namespace fastclip {

/// Several sources as one, with their records in order.
class ConcatenatedSource final : public RecordSource {
 public:
  explicit ConcatenatedSource(std::vector<std::unique_ptr<RecordSource>> sources);
  std::int64_t size() const override { return first_index_.back(); }
  std::vector<std::int64_t> part_sizes() const override;
  RecordBlock Read(SampleIndex first, int count, std::stop_token stop) const override;
  StoredRecord ReadStored(SampleIndex index, std::stop_token stop) const override;
  void ReadAhead(SampleIndex first, int count) const override;
  RecordOrigin OriginOf(SampleIndex index) const override;
  std::vector<std::string> FieldsOf(SampleIndex index) const override;
  std::int64_t texts_of_several_lines() const override;
  std::uint64_t hash() const override;

 private:
  /// Calls `piece(source, first of its own indices, count, base)` for each source of the records.
  template <class Piece>
  void ForEachPiece(SampleIndex first, int count, const Piece& piece) const;
  /// The source that holds a record.
  std::size_t PartOf(std::int64_t index) const;

  std::vector<std::unique_ptr<RecordSource>> sources_;
  std::vector<std::int64_t> first_index_;  // of each source; at the end the size of all
};

}  // namespace fastclip

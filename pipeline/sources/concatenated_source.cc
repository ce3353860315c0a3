#include "pipeline/sources/concatenated_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "pipeline/base/counter_random.h"
#include "pipeline/records/block_builder.h"

namespace fastclip {

ConcatenatedSource::ConcatenatedSource(std::vector<std::unique_ptr<RecordSource>> sources)
    : sources_(std::move(sources)), first_index_(1, 0) {
  for (const auto& source : sources_) first_index_.push_back(first_index_.back() + source->size());
}

std::vector<std::int64_t> ConcatenatedSource::part_sizes() const {
  std::vector<std::int64_t> sizes;
  for (const auto& source : sources_) sizes.push_back(source->size());
  return sizes;
}

std::size_t ConcatenatedSource::PartOf(std::int64_t index) const {
  const auto above = std::upper_bound(first_index_.begin(), first_index_.end(), index);
  return static_cast<std::size_t>(above - first_index_.begin()) - 1;
}

RecordOrigin ConcatenatedSource::OriginOf(SampleIndex index) const {
  const std::size_t part = PartOf(ToInt(index));
  return sources_.at(part)->OriginOf(SampleIndex{ToInt(index) - first_index_[part]});
}

template <class Piece>
void ConcatenatedSource::ForEachPiece(SampleIndex first, int count, const Piece& piece) const {
  if (ToInt(first) < 0 || count < 0 || ToInt(first) > size() - count) {
    throw std::out_of_range(
        fmt::format("{1} records from {0}: only {2} exist", ToInt(first), count, size()));
  }
  std::int64_t index = ToInt(first);
  const std::int64_t end = index + count;
  while (index < end) {
    const std::size_t which = PartOf(index);
    const std::int64_t here = std::min(end, first_index_[which + 1]) - index;
    const std::int64_t base = first_index_[which];
    piece(*sources_[which], SampleIndex{index - base}, static_cast<int>(here), base);
    index += here;
  }
}

RecordBlock ConcatenatedSource::Read(SampleIndex first, int count, std::stop_token stop) const {
  BlockBuilder builder;
  ForEachPiece(first, count,
               [&](const RecordSource& source, SampleIndex local, int here, std::int64_t base) {
                 builder.Append(source.Read(local, here, stop), base);
               });
  return builder.Finish();
}

StoredRecord ConcatenatedSource::ReadStored(SampleIndex index, std::stop_token stop) const {
  StoredRecord stored;
  ForEachPiece(index, 1,
               [&](const RecordSource& source, SampleIndex local, int, std::int64_t base) {
                 stored = source.ReadStored(local, stop);
                 BlockBuilder builder;
                 builder.Append(std::move(stored.block), base);
                 stored.block = builder.Finish();
               });
  return stored;
}

void ConcatenatedSource::ReadAhead(SampleIndex first, int count) const {
  ForEachPiece(first, count,
               [](const RecordSource& source, SampleIndex local, int here, std::int64_t) {
                 source.ReadAhead(local, here);
               });
}

std::vector<std::string> ConcatenatedSource::FieldsOf(SampleIndex index) const {
  const std::size_t part = PartOf(ToInt(index));
  return sources_.at(part)->FieldsOf(SampleIndex{ToInt(index) - first_index_[part]});
}

std::int64_t ConcatenatedSource::texts_of_several_lines() const {
  std::int64_t sum = 0;
  for (const auto& source : sources_) sum += source->texts_of_several_lines();
  return sum;
}

std::uint64_t ConcatenatedSource::hash() const {
  std::uint64_t hash = 0;
  for (const auto& source : sources_) hash = Mix(hash, source->hash());
  return hash;
}

}  // namespace fastclip

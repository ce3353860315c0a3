#pragma once

#include <cstdint>
#include <string>

#include "pipeline/records/record_source.h"

namespace fastclip {

/// Pairs made up from their index, for tests and benchmarks without data: a coloured shape on a
/// ground (PNG, some 40 to 100 pixels a side) and the sentence that tells of it. The label is the
/// shape. With `labelled` there are no captions.
class SyntheticSource final : public RecordSource {
 public:
  explicit SyntheticSource(std::int64_t size, bool labelled = false)
      : size_(size), labelled_(labelled) {}
  std::int64_t size() const override { return size_; }
  RecordBlock Read(SampleIndex first, int count, std::stop_token stop) const override;
  RecordOrigin OriginOf(SampleIndex index) const override { return {"synthetic", ToInt(index)}; }
  std::uint64_t hash() const override;

 private:
  std::int64_t size_;
  bool labelled_;
};

}  // namespace fastclip

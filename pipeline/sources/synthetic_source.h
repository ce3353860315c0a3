#pragma once

#include <cstdint>
#include <string>

#include "pipeline/records/record_source.h"

namespace fastclip {

/// Pairs generated from their index, for tests and benchmarks without data: a coloured shape on a
/// background (PNG, about 40 to 100 pixels per side) and a sentence that describes it. The label is
/// the shape. With `labelled` there are no captions.
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

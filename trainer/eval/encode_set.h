#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <stdexcept>
#include <stop_token>
#include <vector>

#include "pipeline/batch_loader.h"
#include "pipeline/record.h"
#include "pipeline/record_source.h"
#include "tokenizer/tokenizer.h"
#include "trainer/batch_tensors.h"
#include "trainer/model/clip_model.h"
#include "trainer/objective/per_side.h"

namespace fastclip {

struct EncodeOptions {
  /// Pictures, and at most as many captions, that go through a tower at once.
  int batch_size = 256;
  TensorTarget target;
  /// Picture size and context length are taken from the model.
  LoaderOptions loader;
  /// Called after each batch with the number of records done.
  std::function<void(std::int64_t)> progress;
  /// Asked for: EncodeSet ends with EncodingStopped, be it between batches or waiting for one.
  std::stop_token stop;
};

class EncodingStopped : public std::runtime_error {
 public:
  EncodingStopped() : std::runtime_error("the evaluation was stopped") {}
};

struct EncodedSet {
  PerSide<at::Tensor> features;           ///< [n, d] pictures, [m, d] captions
  std::vector<std::int64_t> caption_row;  ///< [m] whose picture each caption belongs to
  SkipCounts skips{};                     ///< records left out
};

/// Features of the records [first, last) of a set: centre crop, all captions, no gradient, no
/// substitutes. Throws what the loader throws.
EncodedSet EncodeSet(const ClipModel& model, const RecordSource& source, SampleIndex first,
                     SampleIndex last, const Tokenizer& tokenizer, const EncodeOptions& options);

}  // namespace fastclip

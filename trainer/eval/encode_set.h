#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <span>
#include <stdexcept>
#include <stop_token>
#include <vector>

#include "pipeline/loader/loader_options.h"
#include "pipeline/records/record.h"
#include "pipeline/records/record_source.h"
#include "tokenizer/tokenizer.h"
#include "trainer/model/clip_model.h"
#include "trainer/objective/per_side.h"
#include "trainer/step/batch_tensors.h"

namespace fastclip {

struct EncodeOptions {
  /// Pictures, and at most as many captions, that go through a tower at once.
  int batch_size = 256;
  TensorTarget target;
  /// Picture size and context length are taken from the model.
  LoaderOptions loader;
  /// Called after each batch with the number of records done.
  std::function<void(std::int64_t)> progress;
  /// Asked for: encoding ends with EncodingStopped, be it between batches or waiting for one.
  std::stop_token stop;
};

class EncodingStopped : public std::runtime_error {
 public:
  EncodingStopped() : std::runtime_error("the evaluation was stopped") {}
};

/// Features of up to EncodeOptions::batch_size records. The spans are views, valid during the call.
struct EncodedBatch {
  PerSide<at::Tensor> features;  ///< [n, d] pictures, [m, d] captions; n may be 0, and m
  std::span<const std::int64_t> caption_row;  ///< [m] row of each caption's picture in this batch
  std::span<const std::int64_t> indices;      ///< [n] SampleIndex
  std::span<const std::int64_t> labels;       ///< [n], -1 where unknown
};

/// Encodes the records [first, last) of a set: centre crop, all captions (none where the source
/// gives labels instead), no gradient, no substitutes. `visit` gets the batches in order. Returns
/// the records left out. Throws what the loader and `visit` throw, and EncodingStopped.
SkipCounts EncodeBatches(const ClipModel& model, const RecordSource& source, SampleIndex first,
                         SampleIndex last, const Tokenizer& tokenizer, const EncodeOptions& options,
                         const std::function<void(const EncodedBatch&)>& visit);

struct EncodedSet {
  PerSide<at::Tensor> features;           ///< [n, d] pictures, [m, d] captions
  std::vector<std::int64_t> caption_row;  ///< [m] whose picture each caption belongs to
  std::vector<std::int64_t> indices;      ///< [n] SampleIndex
  std::vector<std::int64_t> labels;       ///< [n], -1 where unknown
  SkipCounts skips{};                     ///< records left out
};

/// EncodeBatches, all features kept: 4·d bytes a picture and a caption, 8·d in double precision.
EncodedSet EncodeSet(const ClipModel& model, const RecordSource& source, SampleIndex first,
                     SampleIndex last, const Tokenizer& tokenizer, const EncodeOptions& options);

/// Throws std::runtime_error where there are no features, or some are not finite; `what` names them
/// ("pictures").
void CheckFeatures(const at::Tensor& features, const char* what);

}  // namespace fastclip

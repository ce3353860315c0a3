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
#include "trainer/adapt/class_head.h"
#include "trainer/model/clip_model.h"
#include "trainer/objective/per_side.h"
#include "trainer/step/batch_tensors.h"

namespace fastclip {

struct EncodeOptions {
  /// Images, and at most as many captions, per forward pass of a tower.
  int batch_size = 256;
  TensorTarget target;
  /// What is encoded of an image.
  HeadInput images = HeadInput::kFeatures;
  /// Image size and context length are taken from the model.
  LoaderOptions loader;
  /// Called after each batch with the number of records done.
  std::function<void(std::int64_t)> progress;
  /// If requested, encoding ends with EncodingStopped, between batches or while waiting for one.
  std::stop_token stop;
};

class EncodingStopped : public std::runtime_error {
 public:
  EncodingStopped() : std::runtime_error("the evaluation was stopped") {}
};

/// Features of up to EncodeOptions::batch_size records. The spans are views, valid during the call.
struct EncodedBatch {
  PerSide<at::Tensor> features;               ///< [n, d] images, [m, d] captions; both can be 0
  std::span<const std::int64_t> caption_row;  ///< [m] row of each caption's image in this batch
  std::span<const std::int64_t> indices;      ///< [n] SampleIndex
  std::span<const std::int64_t> labels;       ///< [n], -1 where unknown
};

/// Encodes the records [first, last) of a set: center crop, all captions (none if the source gives
/// labels), no gradient, no substitutes. `visit` gets the batches in order. Returns the skipped
/// records. Throws what the loader and `visit` throw, and EncodingStopped.
SkipCounts EncodeBatches(const ClipModel& model, const RecordSource& source, SampleIndex first,
                         SampleIndex last, const Tokenizer& tokenizer, const EncodeOptions& options,
                         const std::function<void(const EncodedBatch&)>& visit);

struct EncodedSet {
  PerSide<at::Tensor> features;           ///< [n, d] images, [m, d] captions
  std::vector<std::int64_t> caption_row;  ///< [m] row of each caption's image
  std::vector<std::int64_t> indices;      ///< [n] SampleIndex
  std::vector<std::int64_t> labels;       ///< [n], -1 where unknown
  SkipCounts skips{};                     ///< skipped records
};

/// EncodeBatches that keeps all features: 4·d bytes per image and caption, 8·d in double precision.
EncodedSet EncodeSet(const ClipModel& model, const RecordSource& source, SampleIndex first,
                     SampleIndex last, const Tokenizer& tokenizer, const EncodeOptions& options);

/// Throws std::runtime_error if there are no features or some are not finite; `what` names them in
/// the message ("images").
void CheckFeatures(const at::Tensor& features, const char* what);

}  // namespace fastclip

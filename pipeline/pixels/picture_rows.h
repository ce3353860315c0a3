#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "pipeline/pixels/augment.h"
#include "pipeline/pixels/image.h"

namespace fastclip {

/// The only inputs of the random choices for an image, so every rank, thread and restart gives the
/// same pixels.
struct PictureKey {
  std::uint64_t seed = 0;
  std::int64_t epoch = 0;
  SampleIndex index{};
};

/// Turns an image into a row of a batch: a crop, decoded no further than needed, then a list of
/// operations. Shared by the loader, replay, lint and benchmarks. Thread-safe.
class PictureRows {
 public:
  /// A random crop, scaled to side × side.
  static PictureRows ForTraining(const AugmentOptions& augment, const DecodeOptions& decode,
                                 int side);
  /// OpenCLIP's evaluation transform: ResizeCenterCrop.
  static PictureRows ForEvaluation(const DecodeOptions& decode, int side);

  /// Decodes the crop. Its memory is reused between calls.
  std::optional<Skip> Decode(std::span<const std::byte> bytes, const PictureKey& key,
                             PicturePart& part) const;
  /// Runs the operations. `out` is [side, side, 3].
  void Write(const PicturePart& part, const PictureKey& key, std::span<std::uint8_t> out) const;

 private:
  using Crop = std::function<CropBox(const ImageSize& size, const PictureKey& key)>;
  /// The first operation writes `out`, the others modify it.
  using Operation = std::function<void(const PicturePart& part, const PictureKey& key,
                                       std::span<std::uint8_t> out)>;
  PictureRows(const DecodeOptions& decode, Crop crop, std::vector<Operation> operations);

  DecodeOptions decode_;
  Crop crop_;
  std::vector<Operation> operations_;
};

}  // namespace fastclip

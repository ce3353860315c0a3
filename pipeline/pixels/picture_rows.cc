#include "pipeline/pixels/picture_rows.h"

#include <utility>

#include "pipeline/pixels/resize.h"

namespace fastclip {

PictureRows::PictureRows(const DecodeOptions& decode, Crop crop, std::vector<Operation> operations)
    : decode_(decode), crop_(std::move(crop)), operations_(std::move(operations)) {}

PictureRows PictureRows::ForTraining(const AugmentOptions& augment, const DecodeOptions& decode,
                                     int side) {
  return {decode,
          [augment](const ImageSize& size, const PictureKey& key) {
            return RandomCrop(size.width, size.height, augment, key.seed, key.epoch, key.index);
          },
          {[side](const PicturePart& part, const PictureKey&, std::span<std::uint8_t> out) {
            ResizeBicubic(part.image, part.box, side, side, out);
          }}};
}

PictureRows PictureRows::ForEvaluation(const DecodeOptions& decode, int side) {
  return {decode,
          [](const ImageSize& size, const PictureKey&) {
            return CropBox{0, 0, size.height, size.width};
          },
          {[side](const PicturePart& part, const PictureKey&, std::span<std::uint8_t> out) {
            ResizeCenterCrop(part.image, side, out);
          }}};
}

std::optional<Skip> PictureRows::Decode(std::span<const std::byte> bytes, const PictureKey& key,
                                        PicturePart& part) const {
  return DecodePart(
      bytes, [&](const ImageSize& size) { return crop_(size, key); }, decode_, part);
}

void PictureRows::Write(const PicturePart& part, const PictureKey& key,
                        std::span<std::uint8_t> out) const {
  for (const Operation& operation : operations_) operation(part, key, out);
}

}  // namespace fastclip

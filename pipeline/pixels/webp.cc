#include <webp/decode.h>
#include <webp/demux.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "pipeline/pixels/blend.h"
#include "pipeline/pixels/picture_codec.h"

namespace fastclip {
namespace {

constexpr std::size_t kRiffHeader = 12;  // "RIFF", size of what follows the size, "WEBP"

struct DeleteDemuxer {
  void operator()(WebPDemuxer* demuxer) const { WebPDemuxDelete(demuxer); }
};
using DemuxerPtr = std::unique_ptr<WebPDemuxer, DeleteDemuxer>;

const std::uint8_t* Data(std::span<const std::byte> bytes) {
  return reinterpret_cast<const std::uint8_t*>(bytes.data());
}

bool EndsEarly(std::span<const std::byte> bytes) {
  const std::uint8_t* size = Data(bytes) + 4;
  const std::uint64_t claimed =
      size[0] | size[1] << 8 | size[2] << 16 | std::uint64_t{size[3]} << 24;
  return bytes.size() < claimed + 8;
}

Skip SkipOf(VP8StatusCode status) {
  switch (status) {
    case VP8_STATUS_OUT_OF_MEMORY:
      throw std::bad_alloc();
    case VP8_STATUS_SUSPENDED:
    case VP8_STATUS_NOT_ENOUGH_DATA:
      return Skip::kTruncated;
    default:
      return Skip::kUndecodable;
  }
}

struct ReleaseFrame {
  WebPIterator* frame;
  ~ReleaseFrame() { WebPDemuxReleaseIterator(frame); }
};

bool LooksLikeIt(std::span<const std::byte> bytes) {
  return bytes.size() >= kRiffHeader && std::memcmp(bytes.data(), "RIFF", 4) == 0 &&
         std::memcmp(bytes.data() + 8, "WEBP", 4) == 0;
}

std::variant<ImageSize, Skip> ReadSize(std::span<const std::byte> bytes) {
  WebPBitstreamFeatures features;
  const VP8StatusCode status = WebPGetFeatures(Data(bytes), bytes.size(), &features);
  if (status != VP8_STATUS_OK) return SkipOf(status);
  return ImageSize{features.width, features.height};
}

std::span<const std::byte> FindExif(std::span<const std::byte> bytes) {
  const WebPData data{Data(bytes), bytes.size()};
  const DemuxerPtr demuxer(WebPDemux(&data));
  WebPChunkIterator chunk{};
  if (demuxer == nullptr || WebPDemuxGetChunk(demuxer.get(), "EXIF", 1, &chunk) == 0) return {};
  const std::span exif(chunk.chunk.bytes, chunk.chunk.size);  // a view into `bytes`
  WebPDemuxReleaseChunkIterator(&chunk);
  return std::as_bytes(exif);
}

std::variant<Image, Skip> Decode(std::span<const std::byte> bytes, const Rgb* background) {
  if (EndsEarly(bytes)) return Skip::kTruncated;
  const WebPData data{Data(bytes), bytes.size()};
  const DemuxerPtr demuxer(WebPDemux(&data));
  WebPIterator frame{};
  const ReleaseFrame release{&frame};
  if (demuxer == nullptr || WebPDemuxGetFrame(demuxer.get(), 1, &frame) == 0) {
    return Skip::kUndecodable;
  }
  Image image{static_cast<int>(WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_WIDTH)),
              static_cast<int>(WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_HEIGHT)),
              {}};
  // The caller allowed the size that the header claims, not the one that a chunk further on claims.
  const auto claimed = ReadSize(bytes);
  const ImageSize* size = std::get_if<ImageSize>(&claimed);
  if (size == nullptr || size->width != image.width || size->height != image.height) {
    return Skip::kUndecodable;
  }

  WebPDecoderConfig config;
  if (WebPInitDecoderConfig(&config) == 0) return Skip::kUndecodable;
  const std::size_t pixels = static_cast<std::size_t>(image.width) * image.height;
  const std::size_t channels = background == nullptr ? 3 : 4;
  std::vector<std::uint8_t> canvas(channels * pixels);
  const std::size_t stride = channels * image.width;
  // The demuxer has checked that the frame lies inside the canvas.
  const std::size_t start = frame.y_offset * stride + frame.x_offset * channels;
  config.output.colorspace = background == nullptr ? MODE_RGB : MODE_RGBA;
  config.output.is_external_memory = 1;
  config.output.u.RGBA.rgba = canvas.data() + start;
  config.output.u.RGBA.stride = static_cast<int>(stride);
  config.output.u.RGBA.size = canvas.size() - start;
  const VP8StatusCode status = WebPDecode(frame.fragment.bytes, frame.fragment.size, &config);
  if (status != VP8_STATUS_OK) return SkipOf(status);

  if (background == nullptr) {
    image.pixels = std::move(canvas);
  } else {
    image.pixels.resize(3 * pixels);
    BlendOver(canvas, *background, image.pixels);
  }
  return image;
}

}  // namespace

constexpr PictureCodec kWebpCodec = {PictureFormat::kWebp, LooksLikeIt, ReadSize, Decode, FindExif};

}  // namespace fastclip

#include <gif_lib.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <vector>

#include "pipeline/pixels/palette.h"
#include "pipeline/pixels/picture_codec.h"

namespace fastclip {
namespace {

struct GifInput {
  const std::byte* next = nullptr;
  std::size_t left = 0;
  bool truncated = false;
};

int OnRead(GifFileType* gif, GifByteType* out, int count) {
  auto* input = static_cast<GifInput*>(gif->UserData);
  const auto wanted = static_cast<std::size_t>(count);
  if (input->left == 0 && wanted == 1) {
    // As if an empty block lay behind the end: pixels that are all there are read although the
    // marks behind them are not. Pillow stops before those.
    input->truncated = true;
    *out = 0;
    return 1;
  }
  const std::size_t given = std::min(input->left, wanted);
  input->truncated |= given < wanted;
  std::memcpy(out, input->next, given);
  input->next += given;
  input->left -= given;
  return static_cast<int>(given);
}

struct CloseGif {
  void operator()(GifFileType* gif) const { DGifCloseFile(gif, nullptr); }
};

/// Null: no palette.
Palette PaletteOf(const ColorMapObject* map) {
  std::vector<Rgb> colours;
  for (int i = 0; map != nullptr && i < map->ColorCount; ++i) {
    colours.push_back({map->Colors[i].Red, map->Colors[i].Green, map->Colors[i].Blue});
  }
  return Palette(colours);
}

/// giflib's record by record interface: it keeps palettes and one block, never a picture.
class GifReader {
 public:
  explicit GifReader(std::span<const std::byte> bytes) : input_{bytes.data(), bytes.size()} {
    gif_.reset(DGifOpen(&input_, OnRead, &open_error_));
  }

  /// Up to the first frame's pixels; false: see skip().
  bool ReadHeader() {
    if (gif_ == nullptr) return false;
    GifRecordType type = UNDEFINED_RECORD_TYPE;
    do {
      if (DGifGetRecordType(gif_.get(), &type) == GIF_ERROR) return false;
      if (type == EXTENSION_RECORD_TYPE && !ReadExtension()) return false;
    } while (type == EXTENSION_RECORD_TYPE);
    if (type != IMAGE_DESC_RECORD_TYPE || DGifGetImageDesc(gif_.get()) == GIF_ERROR) return false;
    return frame().Width > 0 && frame().Height > 0;
  }

  const GifImageDesc& frame() const { return gif_->Image; }
  std::optional<std::uint8_t> transparent() const { return transparent_; }
  ImageSize size() const {
    return {std::max(gif_->SWidth, frame().Left + frame().Width),
            std::max(gif_->SHeight, frame().Top + frame().Height)};
  }
  /// The frame's own, if it counts as one.
  Palette palette() const {
    const Palette own = PaletteOf(frame().ColorMap);
    return own.is_grey() ? PaletteOf(gif_->SColorMap) : own;
  }

  /// The frame's indices into a canvas of size(); false: see skip().
  bool ReadPixels(std::span<std::uint8_t> canvas) {
    struct Pass {
      int first, step;
    };
    static constexpr Pass kInterlaced[] = {{0, 8}, {4, 8}, {2, 4}, {1, 2}}, kPlain[] = {{0, 1}};
    const std::span<const Pass> passes =
        frame().Interlace ? std::span<const Pass>(kInterlaced) : std::span<const Pass>(kPlain);
    const auto stride = static_cast<std::size_t>(size().width);
    for (const Pass& pass : passes) {
      for (int row = pass.first; row < frame().Height; row += pass.step) {
        std::uint8_t* line = canvas.data() + (frame().Top + row) * stride + frame().Left;
        if (DGifGetLine(gif_.get(), line, frame().Width) == GIF_ERROR) return false;
      }
    }
    return true;
  }

  /// Why the last call gave false.
  Skip skip() const {
    const int error = gif_ == nullptr ? open_error_ : gif_->Error;
    if (error == D_GIF_ERR_NOT_ENOUGH_MEM) throw std::bad_alloc();
    return input_.truncated || error == D_GIF_ERR_EOF_TOO_SOON ? Skip::kTruncated
                                                               : Skip::kUndecodable;
  }

 private:
  bool ReadExtension() {
    int code = 0;
    GifByteType* block = nullptr;  // its length, then so many bytes
    if (DGifGetExtension(gif_.get(), &code, &block) == GIF_ERROR) return false;
    while (block != nullptr) {
      if (code == GRAPHICS_EXT_FUNC_CODE && block[0] >= 4 && (block[1] & 1) != 0) {
        transparent_ = block[4];
      }
      if (DGifGetExtensionNext(gif_.get(), &block) == GIF_ERROR) return false;
    }
    return true;
  }

  GifInput input_;
  int open_error_ = 0;
  std::unique_ptr<GifFileType, CloseGif> gif_;
  std::optional<std::uint8_t> transparent_;
};

bool LooksLikeIt(std::span<const std::byte> bytes) {
  return bytes.size() >= 6 && (std::memcmp(bytes.data(), "GIF87a", 6) == 0 ||
                               std::memcmp(bytes.data(), "GIF89a", 6) == 0);
}

std::variant<ImageSize, Skip> ReadSize(std::span<const std::byte> bytes) {
  GifReader reader(bytes);
  if (!reader.ReadHeader()) return reader.skip();
  return reader.size();
}

std::variant<Image, Skip> Decode(std::span<const std::byte> bytes, const Rgb* background) {
  GifReader reader(bytes);
  if (!reader.ReadHeader()) return reader.skip();
  const auto [width, height] = reader.size();
  const std::size_t pixels = static_cast<std::size_t>(width) * height;
  std::vector<std::uint8_t> canvas(pixels, reader.transparent().value_or(0));
  if (!reader.ReadPixels(canvas)) return reader.skip();
  const Palette palette = reader.palette();
  Image image{width, height, std::vector<std::uint8_t>(3 * pixels)};
  for (std::size_t pixel = 0; pixel < pixels; ++pixel) {
    const bool hidden = background != nullptr && canvas[pixel] == reader.transparent();
    std::ranges::copy(hidden ? *background : palette[canvas[pixel]],
                      image.pixels.begin() + static_cast<std::ptrdiff_t>(3 * pixel));
  }
  return image;
}

}  // namespace

constexpr PictureCodec kGifCodec = {PictureFormat::kGif, LooksLikeIt, ReadSize, Decode};

}  // namespace fastclip

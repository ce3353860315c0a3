#include <png.h>

#include <array>
#include <csetjmp>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>
#include <vector>

#include "pipeline/pixels/blend.h"
#include "pipeline/pixels/picture_codec.h"

namespace fastclip {
namespace {

constexpr std::array<unsigned char, 8> kSignature = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
constexpr std::size_t kHeaderEnd = 33;  // signature, IHDR's length, name, 13 bytes and CRC

/// libpng's state with its callbacks. libpng leaves by longjmp: the functions with setjmp, and all
/// between them and a callback, hold only trivial locals.
struct PngState {
  png_structp png;
  png_infop info;
  const std::byte* next;
  std::size_t left;
  bool truncated;
  bool out_of_memory;
  bool in_last_row;
  bool complete;  // the last row is unpacked
  std::jmp_buf leave;
};

[[noreturn]] void OnError(png_structp png, png_const_charp) {
  std::longjmp(static_cast<PngState*>(png_get_error_ptr(png))->leave, 1);
}

void OnWarning(png_structp, png_const_charp) {}

void OnRead(png_structp png, png_bytep out, std::size_t count) {
  auto* state = static_cast<PngState*>(png_get_io_ptr(png));
  if (count > state->left) {
    state->truncated = true;
    png_error(png, "truncated");
  }
  std::memcpy(out, state->next, count);
  state->next += count;
  state->left -= count;
}

// Called between a row's decompression and its copy into the picture: once the last row is here,
// what is wrong behind it (no end chunk, as in many cut files) does not matter. Pillow stops there.
void OnRowUnpacked(png_structp png, png_row_infop, png_bytep) {
  auto* state = static_cast<PngState*>(png_get_user_transform_ptr(png));
  state->complete = state->in_last_row;
}

png_voidp OnAllocate(png_structp png, png_alloc_size_t size) {
  void* memory = std::malloc(size);
  if (memory == nullptr) static_cast<PngState*>(png_get_mem_ptr(png))->out_of_memory = true;
  return memory;
}

void OnFree(png_structp, png_voidp memory) { std::free(memory); }

/// What ReadRows gives.
enum class Layout {
  kRgb,     ///< 3 bytes a pixel
  kRgba,    ///< 4 bytes a pixel
  kGrey16,  ///< 2 bytes a pixel, big-endian
};

class PngReader {
 public:
  explicit PngReader(std::span<const std::byte> bytes) {
    std::memset(&state_, 0, sizeof state_);
    state_.next = bytes.data();
    state_.left = bytes.size();
  }
  ~PngReader() { png_destroy_read_struct(&state_.png, &state_.info, nullptr); }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;

  /// Up to the first compressed bytes; false: see skip().
  bool ReadHeader() {
    if (setjmp(state_.leave) != 0) return false;
    state_.png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &state_, OnError, OnWarning,
                                          &state_, OnAllocate, OnFree);
    if (state_.png == nullptr) return false;
    state_.info = png_create_info_struct(state_.png);
    if (state_.info == nullptr) return false;
    png_set_read_fn(state_.png, &state_, OnRead);
    // Profiles, texts and the like are skipped: no memory, no warnings, no limit on their length.
    png_set_keep_unknown_chunks(state_.png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
    png_set_chunk_malloc_max(state_.png, 0);
    png_set_user_limits(state_.png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);  // the caller has checked
    png_set_crc_action(state_.png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_read_info(state_.png, state_.info);
    // As Pillow: headers must be sound, a flipped bit in the picture's data only shows.
    png_set_crc_action(state_.png, PNG_CRC_QUIET_USE, PNG_CRC_QUIET_USE);
    return true;
  }

  ImageSize size() const {
    return {static_cast<int>(png_get_image_width(state_.png, state_.info)),
            static_cast<int>(png_get_image_height(state_.png, state_.info))};
  }

  Layout ChooseLayout(bool keep_alpha) const {
    if (png_get_color_type(state_.png, state_.info) == PNG_COLOR_TYPE_GRAY &&
        png_get_bit_depth(state_.png, state_.info) == 16) {
      return Layout::kGrey16;
    }
    return keep_alpha ? Layout::kRgba : Layout::kRgb;
  }

  /// 16-bit grey's transparent value; -1 for none.
  int TransparentGrey16() const {
    png_color_16p key = nullptr;
    if (png_get_tRNS(state_.png, state_.info, nullptr, nullptr, &key) == 0 || key == nullptr) {
      return -1;
    }
    return key->gray;
  }

  /// All rows without gaps, [height, width] of the layout; false: see skip().
  bool ReadRows(Layout layout, std::uint8_t* out, std::size_t stride) {
    if (setjmp(state_.leave) != 0) return state_.complete;
    png_structp png = state_.png;
    if (layout != Layout::kGrey16) {
      png_set_strip_16(png);
      png_set_expand(png);  // palette, 1 to 4 bits, transparent colours
      png_set_gray_to_rgb(png);
      if (layout == Layout::kRgb) png_set_strip_alpha(png);
      if (layout == Layout::kRgba) png_set_add_alpha(png, 0xff, PNG_FILLER_AFTER);
    }
    png_set_user_transform_info(png, &state_, 0, 0);
    png_set_read_user_transform_fn(png, OnRowUnpacked);
    const int passes = png_set_interlace_handling(png);
    png_read_update_info(png, state_.info);
    if (png_get_rowbytes(png, state_.info) != stride) return false;
    const png_uint_32 height = png_get_image_height(png, state_.info);
    for (int pass = 0; pass < passes; ++pass) {
      for (png_uint_32 row = 0; row < height; ++row) {
        state_.in_last_row = pass + 1 == passes && row + 1 == height;
        png_read_row(png, out + row * stride, nullptr);
      }
    }
    return true;
  }

  /// Why the last call gave false.
  Skip skip() const {
    if (state_.png == nullptr || state_.info == nullptr || state_.out_of_memory) {
      throw std::bad_alloc();
    }
    return state_.truncated ? Skip::kTruncated : Skip::kUndecodable;
  }

 private:
  PngState state_;
};

std::uint32_t BigEndian32(const std::byte* bytes) {
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value = value << 8 | std::to_integer<std::uint32_t>(bytes[i]);
  return value;
}

/// Pillow clips 16-bit grey at 255 instead of scaling it: such pictures are nearly white.
void ClipGrey16(std::span<const std::uint8_t> grey, int transparent, const Rgb* background,
                std::span<std::uint8_t> rgb) {
  for (std::size_t pixel = 0; pixel < rgb.size() / 3; ++pixel) {
    const int value = grey[2 * pixel] << 8 | grey[2 * pixel + 1];
    const auto clipped = static_cast<std::uint8_t>(value > 255 ? 255 : value);
    const bool hidden = background != nullptr && value == transparent;
    for (std::size_t channel = 0; channel < 3; ++channel) {
      rgb[3 * pixel + channel] = hidden ? (*background)[channel] : clipped;
    }
  }
}

bool LooksLikeIt(std::span<const std::byte> bytes) {
  return bytes.size() >= kSignature.size() &&
         std::memcmp(bytes.data(), kSignature.data(), kSignature.size()) == 0;
}

std::variant<ImageSize, Skip> ReadSize(std::span<const std::byte> bytes) {
  if (bytes.size() < kHeaderEnd) return Skip::kTruncated;
  const std::uint32_t width = BigEndian32(bytes.data() + 16);
  const std::uint32_t height = BigEndian32(bytes.data() + 20);
  if (std::memcmp(bytes.data() + 12, "IHDR", 4) != 0 || width > PNG_UINT_31_MAX ||
      height > PNG_UINT_31_MAX) {
    return Skip::kUndecodable;
  }
  return ImageSize{static_cast<int>(width), static_cast<int>(height)};
}

std::span<const std::byte> FindExif(std::span<const std::byte> bytes) {
  constexpr std::size_t kAround = 12;  // length, name, CRC
  std::size_t at = kSignature.size();
  while (at + kAround <= bytes.size()) {
    const std::size_t length = BigEndian32(bytes.data() + at);
    if (length > bytes.size() - at - kAround) break;
    if (std::memcmp(bytes.data() + at + 4, "eXIf", 4) == 0) return bytes.subspan(at + 8, length);
    at += kAround + length;
  }
  return {};
}

std::variant<Image, Skip> Decode(std::span<const std::byte> bytes, const Rgb* background) {
  PngReader reader(bytes);
  if (!reader.ReadHeader()) return reader.skip();
  const ImageSize size = reader.size();
  const std::size_t pixels = static_cast<std::size_t>(size.width) * size.height;
  Image image{size.width, size.height, std::vector<std::uint8_t>(3 * pixels)};
  const Layout layout = reader.ChooseLayout(background != nullptr);
  if (layout == Layout::kRgb) {
    if (!reader.ReadRows(layout, image.pixels.data(), std::size_t{3} * size.width)) {
      return reader.skip();
    }
    return image;
  }
  const std::size_t bytes_a_pixel = layout == Layout::kRgba ? 4 : 2;
  std::vector<std::uint8_t> rows(bytes_a_pixel * pixels);
  if (!reader.ReadRows(layout, rows.data(), bytes_a_pixel * size.width)) return reader.skip();
  if (layout == Layout::kRgba) {
    BlendOver(rows, *background, image.pixels);
  } else {
    ClipGrey16(rows, reader.TransparentGrey16(), background, image.pixels);
  }
  return image;
}

}  // namespace

constexpr PictureCodec kPngCodec = {PictureFormat::kPng, LooksLikeIt, ReadSize, Decode, FindExif};

}  // namespace fastclip

#pragma once

#include <png.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace fastclip {

/// What a PNG is made with.
struct PngKind {
  int colour = PNG_COLOR_TYPE_RGB;
  int depth = 8;
  std::vector<png_color> palette{};
  std::vector<png_byte> palette_alpha{};
};

/// `rows`: packed as in the file, without filters, 16 bits high byte first.
inline std::vector<std::byte> MakePng(std::span<const std::uint8_t> rows, int width, int height,
                                      const PngKind& kind) {
  std::vector<std::byte> file;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  const auto append = [](png_structp writer, png_bytep bytes, std::size_t size) {
    auto* out = static_cast<std::vector<std::byte>*>(png_get_io_ptr(writer));
    out->insert(out->end(), reinterpret_cast<std::byte*>(bytes),
                reinterpret_cast<std::byte*>(bytes) + size);
  };
  png_set_write_fn(png, &file, append, [](png_structp) {});
  png_set_IHDR(png, info, static_cast<png_uint_32>(width), static_cast<png_uint_32>(height),
               kind.depth, kind.colour, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  if (!kind.palette.empty()) {
    png_set_PLTE(png, info, kind.palette.data(), static_cast<int>(kind.palette.size()));
  }
  if (!kind.palette_alpha.empty()) {
    png_set_tRNS(png, info, kind.palette_alpha.data(), static_cast<int>(kind.palette_alpha.size()),
                 nullptr);
  }
  png_write_info(png, info);
  const std::size_t stride = png_get_rowbytes(png, info);
  for (int y = 0; y < height; ++y) png_write_row(png, rows.data() + y * stride);
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  return file;
}

}  // namespace fastclip

#include "pipeline/pixels/encode.h"

#include <fmt/format.h>
#include <jerror.h>
#include <jpeglib.h>
#include <png.h>

#include <csetjmp>
#include <cstdint>
#include <cstdio>  // jpeglib.h needs FILE
#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>

namespace fastclip {
namespace {

constexpr int kLargestJpegSide = JPEG_MAX_DIMENSION;
constexpr int kLargestPngSide = 1'000'000;
constexpr std::size_t kMostBytes = 0x7fffffff;  // libpng counts a picture's bytes in 32 bits

std::size_t BytesOf(const ImageSize& size) {
  return std::size_t{3} * static_cast<std::size_t>(size.width) *
         static_cast<std::size_t>(size.height);
}

bool Fits(const ImageSize& size, int largest_side) {
  return size.width >= 1 && size.height >= 1 && size.width <= largest_side &&
         size.height <= largest_side && BytesOf(size) <= kMostBytes;
}

void CheckImage(const Image& image, int largest_side, const char* kind) {
  const ImageSize size{image.width, image.height};
  if (!Fits(size, largest_side)) {
    throw std::invalid_argument(
        fmt::format("cannot write a {} of {} x {} pixels: each side must be 1 to {}, and the image "
                    "at most 2 GiB",
                    kind, size.width, size.height, largest_side));
  }
  if (image.pixels.size() != BytesOf(size)) {
    throw std::invalid_argument(fmt::format("cannot write a {}: {} bytes for {} x {} pixels", kind,
                                            image.pixels.size(), image.width, image.height));
  }
}

/// libjpeg leaves by longjmp: CompressJpeg holds only trivial locals.
struct JpegWriter {
  jpeg_compress_struct cinfo;
  jpeg_error_mgr errors;
  std::jmp_buf leave;
  unsigned char* file;
  unsigned long size;

  JpegWriter() { std::memset(this, 0, sizeof *this); }
  ~JpegWriter() {
    jpeg_destroy_compress(&cinfo);
    std::free(file);
  }
  JpegWriter(const JpegWriter&) = delete;
  JpegWriter& operator=(const JpegWriter&) = delete;
};

[[noreturn]] void OnJpegError(j_common_ptr cinfo) {
  std::longjmp(static_cast<JpegWriter*>(cinfo->client_data)->leave, 1);
}

bool CompressJpeg(const Image& image, int quality, JpegWriter& writer) {
  jpeg_compress_struct& cinfo = writer.cinfo;
  cinfo.err = jpeg_std_error(&writer.errors);
  writer.errors.error_exit = OnJpegError;
  writer.errors.emit_message = [](j_common_ptr, int) {};
  cinfo.client_data = &writer;
  if (setjmp(writer.leave) != 0) return false;
  jpeg_create_compress(&cinfo);
  jpeg_mem_dest(&cinfo, &writer.file, &writer.size);
  cinfo.image_width = static_cast<JDIMENSION>(image.width);
  cinfo.image_height = static_cast<JDIMENSION>(image.height);
  cinfo.input_components = 3;
  cinfo.in_color_space = JCS_RGB;
  jpeg_set_defaults(&cinfo);
  jpeg_set_quality(&cinfo, quality, TRUE);
  cinfo.optimize_coding = TRUE;
  jpeg_start_compress(&cinfo, TRUE);
  while (cinfo.next_scanline < cinfo.image_height) {
    JSAMPROW row = const_cast<JSAMPROW>(image.pixels.data()) +
                   std::size_t{3} * cinfo.image_width * cinfo.next_scanline;
    jpeg_write_scanlines(&cinfo, &row, 1);
  }
  jpeg_finish_compress(&cinfo);
  return true;
}

std::vector<std::byte> Copy(const unsigned char* data, std::size_t size) {
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  return std::vector<std::byte>(bytes, bytes + size);
}

}  // namespace

bool FitsJpeg(const ImageSize& size) { return Fits(size, kLargestJpegSide); }

bool FitsPng(const ImageSize& size) { return Fits(size, kLargestPngSide); }

std::vector<std::byte> EncodeJpeg(const Image& image, int quality) {
  CheckImage(image, kLargestJpegSide, "JPEG");
  JpegWriter writer;
  // The picture is checked: all that is left to go wrong is memory.
  if (!CompressJpeg(image, quality, writer)) throw std::bad_alloc();
  return Copy(writer.file, writer.size);
}

std::vector<std::byte> EncodePng(const Image& image) {
  CheckImage(image, kLargestPngSide, "PNG");
  png_image header{};
  header.version = PNG_IMAGE_VERSION;
  header.width = static_cast<png_uint_32>(image.width);
  header.height = static_cast<png_uint_32>(image.height);
  header.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = 0;
  std::vector<std::byte> file(PNG_IMAGE_PNG_SIZE_MAX(header));
  size = file.size();
  if (png_image_write_to_memory(&header, file.data(), &size, 0, image.pixels.data(), 0, nullptr) ==
      0) {
    throw std::runtime_error(fmt::format("cannot write a PNG: {}", header.message));
  }
  file.resize(size);
  return file;
}

}  // namespace fastclip

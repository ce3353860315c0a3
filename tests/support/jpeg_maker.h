#pragma once

#include <jpeglib.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>  // jpeglib.h needs FILE
#include <cstdlib>
#include <span>
#include <vector>

namespace fastclip {

/// What a JPEG is made with, of all that libjpeg can read.
struct JpegKind {
  J_COLOR_SPACE space = JCS_YCbCr;  ///< in the file: grey, YCbCr, RGB, CMYK, YCCK
  int h_samp = 1;                   ///< of the first component; the others have 1
  int v_samp = 1;
  bool progressive = false;
  bool arithmetic = false;
  int restart_interval = 0;  ///< in blocks
  int quality = 90;
  /// Scans written of a progressive picture; 0: all.
  int scans = 0;
  /// The scans one by one, instead of `progressive`'s.
  std::vector<jpeg_scan_info> script;
};

/// Progressive, of three channels: a scan for every coefficient of each, 190 in all.
inline JpegKind OfManyScans() {
  JpegKind kind;
  kind.script.push_back({3, {0, 1, 2, 0}, 0, 0, 0, 0});
  for (int component = 0; component < 3; ++component) {
    for (int k = 1; k < 64; ++k) kind.script.push_back({1, {component, 0, 0, 0}, k, k, 0, 0});
  }
  return kind;
}

inline int ChannelsOf(J_COLOR_SPACE space) {
  if (space == JCS_GRAYSCALE) return 1;
  return space == JCS_CMYK || space == JCS_YCCK ? 4 : 3;
}

/// `pixels`: [height, width, ChannelsOf(kind.space)].
inline std::vector<std::byte> MakeJpeg(std::span<const std::uint8_t> pixels, int width, int height,
                                       const JpegKind& kind) {
  jpeg_compress_struct cinfo;
  jpeg_error_mgr errors;
  cinfo.err = jpeg_std_error(&errors);
  jpeg_create_compress(&cinfo);
  unsigned char* file = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&cinfo, &file, &size);
  cinfo.image_width = static_cast<JDIMENSION>(width);
  cinfo.image_height = static_cast<JDIMENSION>(height);
  cinfo.input_components = ChannelsOf(kind.space);
  cinfo.in_color_space = cinfo.input_components == 1   ? JCS_GRAYSCALE
                         : cinfo.input_components == 3 ? JCS_RGB
                                                       : JCS_CMYK;
  jpeg_set_defaults(&cinfo);
  jpeg_set_colorspace(&cinfo, kind.space);
  jpeg_set_quality(&cinfo, kind.quality, TRUE);
  for (int i = 0; i < cinfo.num_components; ++i) {
    cinfo.comp_info[i].h_samp_factor = i == 0 || i == 3 ? kind.h_samp : 1;
    cinfo.comp_info[i].v_samp_factor = i == 0 || i == 3 ? kind.v_samp : 1;
  }
  cinfo.arith_code = kind.arithmetic ? TRUE : FALSE;
  cinfo.restart_interval = static_cast<unsigned>(kind.restart_interval);
  if (kind.progressive) jpeg_simple_progression(&cinfo);
  if (!kind.script.empty()) {
    cinfo.scan_info = kind.script.data();
    cinfo.num_scans = static_cast<int>(kind.script.size());
  }
  if (kind.scans > 0 && kind.scans < cinfo.num_scans) cinfo.num_scans = kind.scans;
  jpeg_start_compress(&cinfo, TRUE);
  const std::size_t stride = static_cast<std::size_t>(width) * cinfo.input_components;
  while (cinfo.next_scanline < cinfo.image_height) {
    JSAMPROW line = const_cast<JSAMPROW>(pixels.data() + cinfo.next_scanline * stride);
    jpeg_write_scanlines(&cinfo, &line, 1);
  }
  jpeg_finish_compress(&cinfo);
  jpeg_destroy_compress(&cinfo);
  const auto* bytes = reinterpret_cast<const std::byte*>(file);
  std::vector<std::byte> result(bytes, bytes + size);
  std::free(file);
  return result;
}

}  // namespace fastclip

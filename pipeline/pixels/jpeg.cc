#include "pipeline/pixels/jpeg.h"

#include <jerror.h>
#include <jpeglib.h>

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstdint>
#include <cstdio>  // jpeglib.h needs FILE
#include <cstring>
#include <new>
#include <vector>

#include "pipeline/pixels/cmyk.h"

namespace fastclip {
namespace {

constexpr int kMaxScans = 100;
constexpr int kRowsPerCall = 16;
constexpr int kSmoothedCoefficients = 10;  // of a block, the mean included: libjpeg's smoothing

/// How libjpeg's work ended, besides well. Memory is the machine's matter, no property of the
/// bytes.
enum class Failure { kNone, kBroken, kTruncated, kTooManyScans, kOutOfMemory };

/// libjpeg's state with its callbacks. libjpeg leaves by longjmp: the functions with setjmp, and
/// all between them and a callback, hold only trivial locals.
struct JpegState {
  jpeg_decompress_struct cinfo;
  jpeg_error_mgr errors;
  jpeg_source_mgr source;
  jpeg_progress_mgr progress;
  std::jmp_buf leave;
  Failure failure;
  const JOCTET* exif;  // null, or a view into the picture's bytes
  std::size_t exif_size;
};

[[noreturn]] void Leave(j_common_ptr cinfo, Failure failure) {
  auto* state = static_cast<JpegState*>(cinfo->client_data);
  state->failure = failure;
  std::longjmp(state->leave, 1);
}

[[noreturn]] void OnError(j_common_ptr cinfo) {
  Leave(cinfo,
        cinfo->err->msg_code == JERR_OUT_OF_MEMORY ? Failure::kOutOfMemory : Failure::kBroken);
}

// The bytes lie in memory as a whole: who asks for more has a file that ends early. (libjpeg itself
// would warn, JWRN_JPEG_EOF, and paint the rest grey.)
boolean OnEndOfInput(j_decompress_ptr cinfo) {
  Leave(reinterpret_cast<j_common_ptr>(cinfo), Failure::kTruncated);
}

void OnSkip(j_decompress_ptr cinfo, long count) {
  if (count <= 0) return;
  if (static_cast<std::size_t>(count) > cinfo->src->bytes_in_buffer) OnEndOfInput(cinfo);
  cinfo->src->next_input_byte += count;
  cinfo->src->bytes_in_buffer -= static_cast<std::size_t>(count);
}

void OnProgress(j_common_ptr cinfo) {
  if (reinterpret_cast<j_decompress_ptr>(cinfo)->input_scan_number > kMaxScans) {
    Leave(cinfo, Failure::kTooManyScans);
  }
}

void DoNothing(j_decompress_ptr) {}

// Looks at an APP1 where it lies, then passes over it as libjpeg does.
boolean OnApp1(j_decompress_ptr cinfo) {
  constexpr std::size_t kLengthBytes = 2;
  constexpr char kExif[] = "Exif\0";  // and the 0 that ends it
  jpeg_source_mgr& source = *cinfo->src;
  if (source.bytes_in_buffer < kLengthBytes) OnEndOfInput(cinfo);
  const JOCTET* const bytes = source.next_input_byte;
  const std::size_t length = std::size_t{bytes[0]} << 8 | bytes[1];  // its own bytes included
  auto* state = static_cast<JpegState*>(cinfo->client_data);
  if (state->exif == nullptr && length >= kLengthBytes + sizeof kExif &&
      length <= source.bytes_in_buffer &&
      std::memcmp(bytes + kLengthBytes, kExif, sizeof kExif) == 0) {
    state->exif = bytes + kLengthBytes;
    state->exif_size = length - kLengthBytes;
  }
  OnSkip(cinfo, static_cast<long>(std::max(length, kLengthBytes)));
  return TRUE;
}

class JpegReader {
 public:
  explicit JpegReader(std::span<const std::byte> bytes) {
    std::memset(&state_, 0, sizeof state_);  // jpeg_destroy_decompress accepts an empty struct
    state_.cinfo.err = jpeg_std_error(&state_.errors);
    state_.errors.error_exit = OnError;
    state_.errors.emit_message = [](j_common_ptr, int) {};
    state_.errors.output_message = [](j_common_ptr) {};
    state_.cinfo.client_data = &state_;
    state_.source.next_input_byte = reinterpret_cast<const JOCTET*>(bytes.data());
    state_.source.bytes_in_buffer = bytes.size();
    state_.source.init_source = DoNothing;
    state_.source.fill_input_buffer = OnEndOfInput;
    state_.source.skip_input_data = OnSkip;
    state_.source.resync_to_restart = jpeg_resync_to_restart;
    state_.source.term_source = DoNothing;
    state_.progress.progress_monitor = OnProgress;
  }
  ~JpegReader() { jpeg_destroy_decompress(&state_.cinfo); }
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  /// Up to the first scan; false: see skip().
  bool ReadHeader(bool find_exif) {
    if (setjmp(state_.leave) != 0) return false;
    jpeg_create_decompress(&state_.cinfo);
    if (find_exif) jpeg_set_marker_processor(&state_.cinfo, JPEG_APP0 + 1, OnApp1);
    state_.cinfo.src = &state_.source;
    state_.cinfo.progress = &state_.progress;
    jpeg_read_header(&state_.cinfo, TRUE);
    return true;
  }

  /// Begins to decode, for the pixels of a box. Which part of the picture comes: part(). False: see
  /// skip().
  bool Start(const JpegWish& wish) {
    if (setjmp(state_.leave) != 0) return false;
    jpeg_decompress_struct& cinfo = state_.cinfo;
    cinfo.out_color_space = channels() == 4 ? JCS_CMYK : JCS_RGB;
    cinfo.scale_num = 1;
    cinfo.scale_denom = static_cast<unsigned>(wish.shrink);
    jpeg_start_decompress(&cinfo);
    part_ = {0, 0, static_cast<int>(cinfo.output_height), static_cast<int>(cinfo.output_width)};
    box_ = Shrunk(wish);
    if (!NeighboursMatter() && !ScaledHalfway()) {
      Narrow();
      SkipRowsAbove();
    }
    return true;
  }

  /// What ReadPixels gives, in the pixels of the picture as it is scaled.
  const CropBox& part() const { return part_; }
  /// Where in part() the box lies.
  CropBox box() const {
    return {box_.top - part_.top, box_.left - part_.left, box_.height, box_.width};
  }

  /// The rows of part(), [height, width, channels()], and the end marker; false: see skip().
  bool ReadPixels(std::uint8_t* pixels) {
    if (setjmp(state_.leave) != 0) return false;
    jpeg_decompress_struct& cinfo = state_.cinfo;
    const std::size_t stride = std::size_t{cinfo.output_width} * channels();
    const auto bottom = static_cast<JDIMENSION>(part_.top + part_.height);
    JSAMPROW rows[kRowsPerCall];
    while (cinfo.output_scanline < bottom) {
      const JDIMENSION count = std::min<JDIMENSION>(kRowsPerCall, bottom - cinfo.output_scanline);
      for (JDIMENSION row = 0; row < count; ++row) {
        rows[row] = pixels + (cinfo.output_scanline - part_.top + row) * stride;
      }
      jpeg_read_scanlines(&cinfo, rows, count);
    }
    if (bottom < cinfo.output_height) {
      if (EndsWell()) return true;
      // What is odd behind the part is libjpeg's to judge: a skip must not depend on the box. The
      // rows there are read into one that nobody looks at.
      std::uint8_t* const last = static_cast<std::uint8_t*>(
          (*cinfo.mem->alloc_large)(reinterpret_cast<j_common_ptr>(&cinfo), JPOOL_IMAGE, stride));
      rows[0] = last;
      while (cinfo.output_scanline < cinfo.output_height) jpeg_read_scanlines(&cinfo, rows, 1);
    }
    jpeg_finish_decompress(&cinfo);
    return true;
  }

  /// Pillow knows one, three and four components.
  bool known() const {
    const int components = state_.cinfo.num_components;
    return components == 1 || components == 3 || components == 4;
  }
  /// Of what ReadPixels gives: RGB, or four inverted ones.
  int channels() const { return state_.cinfo.num_components == 4 ? 4 : 3; }
  JpegHeader header() {
    const int pixels = channels() == 4 ? 7 : 3;
    const bool keeps_coefficients = jpeg_has_multiple_scans(&state_.cinfo) != FALSE;
    return {.size = {static_cast<int>(state_.cinfo.image_width),
                     static_cast<int>(state_.cinfo.image_height)},
            .bytes_a_pixel = pixels + (keeps_coefficients ? 2 * channels() : 0),
            .exif = std::as_bytes(std::span(state_.exif, state_.exif_size))};
  }

  /// Why the last call gave false.
  Skip skip() const {
    switch (state_.failure) {
      case Failure::kTruncated:
        return Skip::kTruncated;
      case Failure::kTooManyScans:
        return Skip::kTooLarge;
      case Failure::kOutOfMemory:
        throw std::bad_alloc();
      case Failure::kBroken:
      case Failure::kNone:
        break;
    }
    return Skip::kUndecodable;
  }

 private:
  /// Blocks of a progressive picture whose last scans are not there are smoothed by what lies
  /// around them, so that a part of it differs from the whole.
  bool NeighboursMatter() const {
    const jpeg_decompress_struct& cinfo = state_.cinfo;
    if (!cinfo.progressive_mode || cinfo.coef_bits == nullptr) return false;
    for (int component = 0; component < cinfo.num_components; ++component) {
      for (int coefficient = 1; coefficient < kSmoothedCoefficients; ++coefficient) {
        if (cinfo.coef_bits[component][coefficient] != 0) return true;
      }
    }
    return false;
  }

  /// Where a channel's scaling takes over only a part of its upsampling (4 × 2 samples to one, at
  /// 1/4), libjpeg's cropping miscounts its columns: such pictures are decoded whole.
  bool ScaledHalfway() const {
    const jpeg_decompress_struct& cinfo = state_.cinfo;
    const int scale = cinfo.min_DCT_scaled_size;
    return std::any_of(cinfo.comp_info, cinfo.comp_info + cinfo.num_components,
                       [&](const jpeg_component_info& channel) {
                         const int own = channel.DCT_scaled_size;
                         return own != scale &&
                                (channel.h_samp_factor * own != cinfo.max_h_samp_factor * scale ||
                                 channel.v_samp_factor * own != cinfo.max_v_samp_factor * scale);
                       });
  }

  /// The box in the scaled picture: its borders' nearest pixels, one at least.
  CropBox Shrunk(const JpegWish& wish) const {
    const auto scaled = [&](int at, int limit) {
      return std::min((at + wish.shrink / 2) / wish.shrink, limit);
    };
    const auto& [top, left, height, width] = wish.box;
    CropBox box;
    box.top = scaled(top, part_.height - 1);
    box.left = scaled(left, part_.width - 1);
    box.height = std::max(1, scaled(top + height, part_.height) - box.top);
    box.width = std::max(1, scaled(left + width, part_.width) - box.left);
    return box;
  }

  int block_width() const {
    const jpeg_decompress_struct& cinfo = state_.cinfo;
    return cinfo.min_DCT_scaled_size * (cinfo.num_components == 1 ? 1 : cinfo.max_h_samp_factor);
  }

  /// Columns are upsampled from their neighbours, so that the outermost of a part differ: a block
  /// more on either side is decoded.
  void Narrow() {
    const int block = block_width();
    const int left = std::max(0, box_.left - block);
    const int right = std::min(part_.width, box_.left + box_.width + block);
    if (left < block && right == part_.width) return;
    auto first = static_cast<JDIMENSION>(left);
    auto width = static_cast<JDIMENSION>(right - left);
    jpeg_crop_scanline(&state_.cinfo, &first, &width);
    part_.left = static_cast<int>(first);
    part_.width = static_cast<int>(width);
  }

  void SkipRowsAbove() {
    if (box_.top > 0) {
      part_.top =
          static_cast<int>(jpeg_skip_scanlines(&state_.cinfo, static_cast<JDIMENSION>(box_.top)));
    }
    part_.height = box_.top + box_.height - part_.top;
  }

  /// Whether decoding to the end would meet the end marker and nothing unusual before: then it can
  /// stop here. Inside of a scan only restart markers are usual.
  bool EndsWell() {
    jpeg_decompress_struct& cinfo = state_.cinfo;
    if (jpeg_has_multiple_scans(&cinfo)) return true;  // all of the file was read at the start
    if (cinfo.unread_marker != 0) return cinfo.unread_marker == JPEG_EOI;
    const JOCTET* at = cinfo.src->next_input_byte;
    const JOCTET* const end = at + cinfo.src->bytes_in_buffer;
    while (at != end) {
      at = static_cast<const JOCTET*>(std::memchr(at, 0xff, static_cast<std::size_t>(end - at)));
      if (at == nullptr || ++at == end) return false;
      if (*at == JPEG_EOI) return true;
      const bool usual = *at == 0 || *at == 0xff || (*at >= JPEG_RST0 && *at < JPEG_RST0 + 8);
      if (!usual) return false;
    }
    return false;
  }

  JpegState state_;
  CropBox part_;
  CropBox box_;  // of the whole scaled picture
};

}  // namespace

bool LooksLikeJpeg(std::span<const std::byte> bytes) {
  constexpr std::array<unsigned char, 3> kStart = {0xff, 0xd8, 0xff};
  return bytes.size() >= kStart.size() &&
         std::memcmp(bytes.data(), kStart.data(), kStart.size()) == 0;
}

std::variant<JpegHeader, Skip> ReadJpegHeader(std::span<const std::byte> bytes, bool find_exif) {
  JpegReader reader(bytes);
  if (!reader.ReadHeader(find_exif)) return reader.skip();
  if (!reader.known()) return Skip::kUndecodable;
  return reader.header();
}

std::optional<Skip> DecodeJpeg(std::span<const std::byte> bytes, bool find_exif,
                               const ChooseJpegPart& choose, PicturePart& part) {
  JpegReader reader(bytes);
  if (!reader.ReadHeader(find_exif)) return reader.skip();
  if (!reader.known()) return Skip::kUndecodable;
  const auto wish = choose(reader.header());
  if (const Skip* skip = std::get_if<Skip>(&wish)) return *skip;
  if (!reader.Start(std::get<JpegWish>(wish))) return reader.skip();
  const CropBox& made = reader.part();
  part.box = reader.box();
  part.image.width = made.width;
  part.image.height = made.height;
  const std::size_t pixels = static_cast<std::size_t>(made.width) * made.height;
  part.image.pixels.resize(3 * pixels);
  if (reader.channels() == 3) {
    if (!reader.ReadPixels(part.image.pixels.data())) return reader.skip();
  } else {
    std::vector<std::uint8_t> cmyk(4 * pixels);
    if (!reader.ReadPixels(cmyk.data())) return reader.skip();
    ConvertInvertedCmyk(cmyk, part.image.pixels);
  }
  return std::nullopt;
}

}  // namespace fastclip

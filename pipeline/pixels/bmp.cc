#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "pipeline/pixels/blend.h"
#include "pipeline/pixels/palette.h"
#include "pipeline/pixels/picture_codec.h"

namespace fastclip {
namespace {

constexpr std::size_t kFileHeader = 14;
constexpr std::uint32_t kCoreHeader = 12;
constexpr std::uint32_t kLargestPalette = 65'536;

enum class Compression : std::uint32_t { kNone, kRle8, kRle4, kMasks };

/// Red, green, blue, alpha.
using Masks = std::array<std::uint32_t, 4>;
constexpr Masks k555 = {0x7c00, 0x3e0, 0x1f, 0}, k565 = {0xf800, 0x7e0, 0x1f, 0};
constexpr Masks kBgr = {0xff0000, 0xff00, 0xff, 0}, kBgra = {0xff0000, 0xff00, 0xff, 0xff000000};

/// Numbers out of the bytes, the low byte first; zeros behind the end.
class LittleEndian {
 public:
  explicit LittleEndian(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::uint32_t At(std::size_t at, int width) const {
    std::uint32_t value = 0;
    for (int i = 0; i < width && at + i < bytes_.size(); ++i) {
      value |= std::to_integer<std::uint32_t>(bytes_[at + i]) << (8 * i);
    }
    return value;
  }

 private:
  std::span<const std::byte> bytes_;
};

struct Header {
  ImageSize size;
  bool top_down = false;
  std::uint32_t bits = 0;
  Compression compression = Compression::kNone;
  Masks masks{};
  std::size_t palette_at = 0;
  std::uint32_t colours = 0;
  std::size_t bytes_a_colour = 4;
  std::size_t pixels_at = 0;
};

bool IsWholeByte(std::uint32_t mask) {
  return mask == 0xff || mask == 0xff00 || mask == 0xff0000 || mask == 0xff000000;
}

/// Whether what the header says goes together; fills in the masks that it need not say.
bool Complete(Header& header) {
  switch (header.compression) {
    case Compression::kRle8:
      return header.bits == 8;
    case Compression::kRle4:
      return header.bits == 4;
    case Compression::kNone:
      header.masks = header.bits == 16 ? k555 : kBgr;
      return header.bits == 1 || header.bits == 4 || header.bits == 8 || header.bits == 16 ||
             header.bits == 24 || header.bits == 32;
    case Compression::kMasks:
      break;
    default:
      return false;
  }
  Masks& masks = header.masks;
  if (header.bits != 32) masks[3] = 0;
  if (header.bits == 16) return masks == k555 || masks == k565;
  if (header.bits == 24) return masks == kBgr;
  if (header.bits != 32) return false;
  if (masks == Masks{}) masks = kBgra;
  return std::all_of(masks.begin(), masks.begin() + 3, IsWholeByte) &&
         (masks[3] == 0 || IsWholeByte(masks[3]));
}

std::variant<Header, Skip> ReadHeader(std::span<const std::byte> bytes) {
  if (bytes.size() < kFileHeader + 4) return Skip::kTruncated;
  const LittleEndian file(bytes);
  const std::uint32_t length = file.At(kFileHeader, 4);
  static constexpr std::uint32_t kLengths[] = {kCoreHeader, 40, 52, 56, 64, 108, 124};
  if (std::ranges::find(kLengths, length) == std::end(kLengths)) return Skip::kUndecodable;
  Header header;
  header.palette_at = kFileHeader + length;
  if (bytes.size() < header.palette_at) return Skip::kTruncated;
  std::int64_t width = 0, height = 0;
  if (length == kCoreHeader) {
    width = file.At(18, 2);
    height = file.At(20, 2);
    header.bits = file.At(24, 2);
    header.bytes_a_colour = 3;
  } else {
    width = file.At(18, 4);
    height = file.At(22, 4);
    header.top_down = height >> 24 == 0xff;
    if (header.top_down) height = (std::int64_t{1} << 32) - height;
    header.bits = file.At(28, 2);
    header.compression = Compression{file.At(30, 4)};
    // With more than 8 bits the palette is for show only.
    if (header.bits <= 8) header.colours = file.At(46, 4);
    if (header.compression == Compression::kMasks) {
      const int masks = length >= 56 ? 4 : 3;  // a short header has its masks behind it
      for (int i = 0; i < masks; ++i) header.masks[i] = file.At(54 + 4 * i, 4);
      if (length == 40) header.palette_at += 12;
      if (bytes.size() < header.palette_at) return Skip::kTruncated;
    }
  }
  if (width > INT32_MAX || height > INT32_MAX) return Skip::kTooLarge;
  header.size = {static_cast<int>(width), static_cast<int>(height)};
  if (!Complete(header)) return Skip::kUndecodable;

  std::size_t palette = 0;
  if (header.bits <= 8) {
    if (header.colours == 0) header.colours = 1U << header.bits;
    if (header.colours > kLargestPalette) return Skip::kUndecodable;
    palette = header.bytes_a_colour * header.colours;
  }
  header.pixels_at = file.At(10, 4);
  // Some writers give the place of the palette, or none.
  if (header.pixels_at == 0) header.pixels_at = header.palette_at + palette;
  if (header.pixels_at == kFileHeader + length) header.pixels_at += palette;
  return header;
}

std::optional<Palette> ReadPalette(std::span<const std::byte> bytes, const Header& header) {
  std::vector<Rgb> colours;
  for (std::size_t i = 0; i < header.colours; ++i) {
    const std::size_t at = header.palette_at + i * header.bytes_a_colour;
    if (at + 3 > bytes.size()) return std::nullopt;
    if (colours.size() == 256) break;  // no index reaches further
    const auto channel = [&](std::size_t c) {
      return std::to_integer<std::uint8_t>(bytes[at + c]);
    };
    colours.push_back({channel(2), channel(1), channel(0)});
  }
  return Palette(colours);
}

/// Run lengths unpacked to an index a pixel, in the file's order of rows. A run does not go past
/// its row's end; what is skipped has index 0.
class RunLengths {
 public:
  RunLengths(std::span<const std::byte> data, const Header& header)
      : data_(data),
        width_(static_cast<std::size_t>(header.size.width)),
        indices_(width_ * header.size.height),
        half_bytes_(header.bits == 4) {}

  /// Nothing where the runs end before the last pixel.
  std::optional<std::vector<std::uint8_t>> Unpack() {
    while (made_ < indices_.size()) {
      if (at_ + 2 > data_.size()) return std::nullopt;
      const std::uint8_t count = Next(), value = Next();
      if (count > 0) {
        Run(count, value);
      } else if (value == 0) {
        Jump((width_ - made_ % width_) % width_);
        column_ = 0;
      } else if (value == 1) {
        return std::nullopt;
      } else if (value == 2) {
        if (at_ + 2 > data_.size()) return std::nullopt;
        const std::size_t right = Next(), rows = Next();
        Jump(right + rows * width_);
        column_ = made_ % width_;
      } else if (!Literal(value)) {
        return std::nullopt;
      }
    }
    return std::move(indices_);
  }

 private:
  std::uint8_t Next() { return std::to_integer<std::uint8_t>(data_[at_++]); }
  void Put(std::uint8_t index) {
    if (made_ < indices_.size()) indices_[made_++] = index;
  }
  void Jump(std::size_t count) { made_ += std::min(count, indices_.size() - made_); }
  std::uint8_t Half(std::uint8_t byte, std::size_t i) const {
    return i % 2 == 0 ? byte >> 4 : byte & 15;
  }
  void Run(std::size_t count, std::uint8_t value) {
    count = std::min(count, width_ - std::min(column_, width_));
    for (std::size_t i = 0; i < count; ++i) Put(half_bytes_ ? Half(value, i) : value);
    column_ += count;
  }
  /// So many indices as they are, filled up to whole pairs of bytes.
  bool Literal(std::size_t count) {
    const std::size_t bytes = half_bytes_ ? (count + 1) / 2 : count;
    if (bytes > data_.size() - at_) return false;
    for (std::size_t i = 0; i < count; ++i) {
      const auto byte = std::to_integer<std::uint8_t>(data_[at_ + (half_bytes_ ? i / 2 : i)]);
      Put(half_bytes_ ? Half(byte, i) : byte);
    }
    at_ = std::min(at_ + bytes + bytes % 2, data_.size());
    column_ += count;
    return true;
  }

  const std::span<const std::byte> data_;
  const std::size_t width_;
  std::vector<std::uint8_t> indices_;
  const bool half_bytes_;
  std::size_t at_ = 0, made_ = 0, column_ = 0;
};

/// A channel's value as a byte: five and six bits are stretched, rounded down.
std::uint8_t Channel(std::uint32_t pixel, std::uint32_t mask) {
  const std::uint32_t shift = static_cast<std::uint32_t>(std::countr_zero(mask));
  return static_cast<std::uint8_t>(((pixel & mask) >> shift) * 255 / (mask >> shift));
}

/// One row of the file to one of RGB, or RGBA.
class RowUnpacker {
 public:
  RowUnpacker(const Header& header, const Palette& palette, int channels)
      : header_(header), palette_(palette), channels_(channels) {}

  void Read(std::span<const std::byte> row, std::uint8_t* out) const {
    for (int x = 0; x < header_.size.width; ++x, out += channels_) {
      if (header_.bits <= 8) {
        std::ranges::copy(palette_[Index(row, x)], out);
        continue;
      }
      const std::size_t width = header_.bits / 8;
      const std::uint32_t pixel = LittleEndian(row).At(width * x, static_cast<int>(width));
      for (int c = 0; c < channels_; ++c) out[c] = Channel(pixel, header_.masks[c]);
    }
  }

 private:
  std::uint8_t Index(std::span<const std::byte> row, std::size_t x) const {
    const std::size_t bit = x * header_.bits;
    const auto byte = std::to_integer<unsigned>(row[bit / 8]);
    return static_cast<std::uint8_t>(byte >> (8 - header_.bits - bit % 8) &
                                     ((1U << header_.bits) - 1));
  }

  const Header& header_;
  const Palette& palette_;
  const int channels_;
};

bool LooksLikeIt(std::span<const std::byte> bytes) {
  return bytes.size() >= 2 && std::memcmp(bytes.data(), "BM", 2) == 0;
}

std::variant<ImageSize, Skip> ReadSize(std::span<const std::byte> bytes) {
  const auto header = ReadHeader(bytes);
  if (const Skip* skip = std::get_if<Skip>(&header)) return *skip;
  return std::get<Header>(header).size;
}

std::variant<Image, Skip> Decode(std::span<const std::byte> bytes, const Rgb* background) {
  const auto read = ReadHeader(bytes);
  if (const Skip* skip = std::get_if<Skip>(&read)) return *skip;
  Header header = std::get<Header>(read);
  const auto palette = ReadPalette(bytes, header);
  if (!palette || header.pixels_at > bytes.size()) return Skip::kTruncated;
  std::span<const std::byte> data = bytes.subspan(header.pixels_at);

  const auto [width, height] = header.size;
  std::size_t row_bits = std::size_t{header.bits} * width;
  std::size_t stride = (row_bits + 31) / 32 * 4;
  std::vector<std::uint8_t> indices;
  if (header.compression == Compression::kRle8 || header.compression == Compression::kRle4) {
    auto unpacked = RunLengths(data, header).Unpack();
    if (!unpacked) return Skip::kTruncated;
    indices = std::move(*unpacked);
    data = std::as_bytes(std::span(indices));
    header.bits = 8;
    row_bits = std::size_t{8} * width;
    stride = static_cast<std::size_t>(width);
  }
  const std::size_t row_bytes = (row_bits + 7) / 8;
  if (data.size() < (height - 1) * stride + row_bytes) return Skip::kTruncated;

  const bool has_alpha = background != nullptr && header.masks[3] != 0;
  const int channels = has_alpha ? 4 : 3;
  const std::size_t pixels = static_cast<std::size_t>(width) * height;
  std::vector<std::uint8_t> rows(channels * pixels);
  const RowUnpacker reader(header, *palette, channels);
  for (int y = 0; y < height; ++y) {
    const int place = header.top_down ? y : height - 1 - y;
    reader.Read(data.subspan(y * stride, row_bytes),
                rows.data() + std::size_t{1} * place * width * channels);
  }
  if (!has_alpha) return Image{width, height, std::move(rows)};
  Image image{width, height, std::vector<std::uint8_t>(3 * pixels)};
  BlendOver(rows, *background, image.pixels);
  return image;
}

}  // namespace

constexpr PictureCodec kBmpCodec = {PictureFormat::kBmp, LooksLikeIt, ReadSize, Decode};

}  // namespace fastclip

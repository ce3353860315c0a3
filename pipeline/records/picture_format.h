#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace fastclip {

enum class PictureFormat : std::uint8_t { kJpeg, kPng, kWebp, kGif, kBmp };

/// A set of image formats.
class PictureFormats {
 public:
  constexpr PictureFormats(std::initializer_list<PictureFormat> formats) {
    for (const PictureFormat format : formats) Add(format);
  }
  constexpr void Add(PictureFormat format) { bits_ |= BitOf(format); }
  constexpr bool Has(PictureFormat format) const { return (bits_ & BitOf(format)) != 0; }
  bool operator==(const PictureFormats&) const = default;

 private:
  static constexpr unsigned BitOf(PictureFormat format) {
    return 1U << static_cast<unsigned>(format);
  }
  unsigned bits_ = 0;
};

/// The formats of OpenCLIP's loader. GIF and BMP are opt-in.
inline constexpr PictureFormats kUsualFormats = {PictureFormat::kJpeg, PictureFormat::kPng,
                                                 PictureFormat::kWebp};

/// Parses a list of "jpeg", "png", "webp", "gif", "bmp". Throws std::invalid_argument for an
/// unknown name or an empty list.
PictureFormats ParsePictureFormats(std::span<const std::string> names);

/// The format of a file or member with this extension: jpg, jpeg, png, webp, gif, bmp, in any case.
std::optional<PictureFormat> FormatOfExtension(std::string_view extension);

}  // namespace fastclip

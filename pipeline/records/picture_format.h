#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace fastclip {

enum class PictureFormat : std::uint8_t { kJpeg, kPng, kWebp, kGif, kBmp };

/// A set of picture formats.
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

/// What OpenCLIP's loader takes. GIF and BMP are opt-in.
inline constexpr PictureFormats kUsualFormats = {PictureFormat::kJpeg, PictureFormat::kPng,
                                                 PictureFormat::kWebp};

/// The set of some of "jpeg", "png", "webp", "gif", "bmp". Throws std::invalid_argument that says
/// which name is none, or that there is none at all.
PictureFormats ParsePictureFormats(std::span<const std::string> names);

/// What a file or member with this extension is taken for: jpg, jpeg, png, webp, gif, bmp, in any
/// case.
std::optional<PictureFormat> FormatOfExtension(std::string_view extension);

}  // namespace fastclip

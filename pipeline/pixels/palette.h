#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "pipeline/pixels/image.h"

namespace fastclip {

/// The colours of the indices 0 to 255, like Pillow: black past the palette's end. No palette, or
/// one that maps each index to its own grey, means grey for every index.
class Palette {
 public:
  /// REQUIRES: at most 256 colours.
  explicit Palette(std::span<const Rgb> colours) {
    for (std::size_t i = 0; i < colours.size(); ++i) {
      colours_[i] = colours[i];
      is_grey_ = is_grey_ && colours[i] == Grey(i);
    }
    for (std::size_t i = colours.size(); is_grey_ && i < colours_.size(); ++i) {
      colours_[i] = Grey(i);
    }
  }
  /// Whether it counts as none.
  bool is_grey() const { return is_grey_; }
  const Rgb& operator[](std::uint8_t index) const { return colours_[index]; }

 private:
  static Rgb Grey(std::size_t index) {
    const auto value = static_cast<std::uint8_t>(index);
    return {value, value, value};
  }
  std::array<Rgb, 256> colours_{};
  bool is_grey_ = true;
};

}  // namespace fastclip

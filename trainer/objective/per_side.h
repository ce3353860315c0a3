#pragma once

namespace fastclip {

/// A value for each side, image and text.
template <class T>
struct PerSide {
  T image{};
  T text{};
};

}  // namespace fastclip

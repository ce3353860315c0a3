#pragma once

namespace fastclip {

/// Everything in CLIP comes twice.
template <class T>
struct PerSide {
  T image{};
  T text{};
};

}  // namespace fastclip

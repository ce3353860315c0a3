#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace fastclip {

/// Sequences of one length, whose places lie one after the other.
struct SequenceGroup {
  std::int64_t sequences = 0, length = 0;

  std::int64_t places() const { return sequences * length; }
};

/// The most that train.length_groups allows.
inline constexpr int kMostLengthGroups = 32;

using SequenceGroups = std::vector<SequenceGroup>;

/// Captions that a text tower computes in groups by length, each cut to its own length.
struct CaptionGroups {
  SequenceGroups groups;  ///< empty: all captions together, in their order
  at::Tensor order{};     ///< [b] int64: the captions of the first group, then of the second, …
  at::Tensor places{};    ///< [b] int64: each caption's position in `order`
};

}  // namespace fastclip

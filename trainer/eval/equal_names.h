#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace fastclip {

/// Classes with the same name, ignoring case. They stay separate classes, as in OpenCLIP; a model
/// gives them the same score, so they tie. ImageNet's list has two pairs.
struct EqualNames {
  std::string name;                 ///< as spelled by the first
  std::vector<std::int64_t> lines;  ///< from 1
};
std::vector<EqualNames> FindEqualNames(const std::vector<std::string>& classes);
/// "'missile' (lines 658, 745), 'sunglasses' (lines 837, 838)", only the first ones of many; empty
/// if there are none.
std::string DescribeEqualNames(const std::vector<EqualNames>& equal);

}  // namespace fastclip

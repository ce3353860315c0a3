#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/state/safetensors.h"

namespace fastclip {

/// The format's own limit, so that a file of ours is readable everywhere and garbage costs little.
inline constexpr std::uint64_t kMostHeaderBytes = 100'000'000;

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;
  std::map<std::string, std::string> metadata;
};
/// The JSON header of the file `path`, whose data begin at byte `data` and which has `file_size`
/// bytes. Throws std::runtime_error that names the file and what is wrong: no such header, tensors
/// that overlap, leave a gap or lie outside the file, two of one name, a type that is not read.
SafetensorsHeader ParseSafetensorsHeader(const std::string& path, std::string_view json,
                                         std::uint64_t data, std::uint64_t file_size);

/// The format's word for a type. Throws std::runtime_error where it has none.
std::string_view DtypeName(const std::string& path, const std::string& tensor, at::ScalarType type);

}  // namespace fastclip

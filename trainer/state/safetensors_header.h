#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/state/safetensors.h"

namespace fastclip {

/// The format's limit: keeps our files readable everywhere, and rejects garbage early.
inline constexpr std::uint64_t kMostHeaderBytes = 100'000'000;

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;
  std::map<std::string, std::string> metadata;
};
/// Parses the JSON header of the file `path`, whose data begins at byte `data` and which has
/// `file_size` bytes. Throws std::runtime_error with the file and the reason: not a valid header,
/// tensors that overlap, leave a gap or are outside the file, duplicate names, unsupported types.
SafetensorsHeader ParseSafetensorsHeader(const std::string& path, std::string_view json,
                                         std::uint64_t data, std::uint64_t file_size);

/// The format's name of a type. Throws std::runtime_error if it has none.
std::string_view DtypeName(const std::string& path, const std::string& tensor, at::ScalarType type);

}  // namespace fastclip

#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/records/record.h"
#include "pipeline/records/record_source.h"
#include "pipeline/shards/tar_writer.h"
#include "tests/support/error_of.h"

namespace fastclip {

using Members = std::vector<std::pair<std::string, std::string>>;

inline std::span<const std::byte> AsBytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

inline std::string AsString(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline void WriteShard(const std::string& path, const Members& members) {
  TarWriter writer(path);
  for (const auto& [name, bytes] : members) writer.Add(name, AsBytes(bytes));
  writer.Close();
}

/// `count` records KEY.jpg, KEY.txt, KEY.json; the images are no images, only told apart.
inline Members PlainMembers(int count, const std::string& prefix = "") {
  Members members;
  for (int i = 0; i < count; ++i) {
    const std::string key = prefix + std::to_string(1000 + i);
    members.emplace_back(key + ".jpg",
                         "image of " + key + std::string(static_cast<std::size_t>(i) * 37, '.'));
    members.emplace_back(key + ".txt", "caption of " + key);
    members.emplace_back(key + ".json", R"({"key": ")" + key + R"("})");
  }
  return members;
}

/// The same records with other captions.
inline Members Mended(Members members) {
  for (auto& [name, bytes] : members) {
    if (name.ends_with(".txt")) bytes = "mended " + bytes;
  }
  return members;
}

/// To take in what changed on purpose.
inline SourceOptions Renewing(SourceOptions options = {}) {
  options.renew = true;
  return options;
}

inline std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void WriteFile(const std::string& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace fastclip

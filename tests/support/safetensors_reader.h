#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace fastclip {

/// The tensors of a golden .safetensors file as bytes: tests without LibTorch read them with it.
/// Throws where the file is not one or a name is missing.
class SafetensorsReader {
 public:
  struct Tensor {
    std::string dtype;  ///< "U8", "F32", …
    std::vector<std::int64_t> shape;
    std::span<const std::uint8_t> bytes;  ///< lives as long as the reader
  };

  explicit SafetensorsReader(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    file_.assign(std::istreambuf_iterator<char>(file), {});
    std::uint64_t header_size = 0;
    if (file_.size() < sizeof header_size) throw std::runtime_error("not read: " + path.string());
    std::memcpy(&header_size, file_.data(), sizeof header_size);
    const std::span<const std::uint8_t> rest = std::span(file_).subspan(sizeof header_size);
    if (header_size > rest.size()) throw std::runtime_error("cut off: " + path.string());
    const auto header = nlohmann::json::parse(rest.begin(), rest.begin() + header_size);
    const std::span<const std::uint8_t> data = rest.subspan(header_size);
    for (const auto& [name, entry] : header.items()) {
      if (name == "__metadata__") continue;
      const std::uint64_t begin = entry.at("data_offsets").at(0);
      const std::uint64_t end = entry.at("data_offsets").at(1);
      if (begin > end || end > data.size()) throw std::runtime_error("cut off: " + path.string());
      tensors_[name] = {entry.at("dtype"), entry.at("shape"), data.subspan(begin, end - begin)};
    }
  }
  SafetensorsReader(const SafetensorsReader&) = delete;
  SafetensorsReader& operator=(const SafetensorsReader&) = delete;

  const std::map<std::string, Tensor>& tensors() const { return tensors_; }
  const Tensor& at(const std::string& name) const {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) throw std::runtime_error("no tensor " + name);
    return found->second;
  }

 private:
  std::vector<std::uint8_t> file_;
  std::map<std::string, Tensor> tensors_;
};

}  // namespace fastclip

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace fastclip {

/// SHA-256 (FIPS 180-4) of bytes given in parts.
class Sha256 {
 public:
  void Add(std::span<const std::byte> bytes);
  /// 64 hexadecimal digits. Call it once, at the end.
  std::string Hex();

 private:
  void Block(const std::uint8_t* bytes);

  std::array<std::uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::uint8_t, 64> rest_{};
  std::size_t filled_ = 0;
  std::uint64_t size_ = 0;
};

}  // namespace fastclip

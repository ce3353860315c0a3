#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

struct XXH3_state_s;

namespace fastclip {

/// 64-bit XXH3 of bytes that arrive in parts.
class StreamHash {
 public:
  StreamHash();
  void Restart();
  void Add(std::span<const std::byte> bytes);
  std::uint64_t Digest() const;

 private:
  struct Free {
    void operator()(XXH3_state_s* state) const;
  };
  std::unique_ptr<XXH3_state_s, Free> state_;
};

}  // namespace fastclip

#include "pipeline/files/stream_hash.h"

#include <xxhash.h>

#include <new>

namespace fastclip {

void StreamHash::Free::operator()(XXH3_state_s* state) const { XXH3_freeState(state); }

StreamHash::StreamHash() : state_(XXH3_createState()) {
  if (state_ == nullptr) throw std::bad_alloc();
  Restart();
}

void StreamHash::Restart() { XXH3_64bits_reset(state_.get()); }

void StreamHash::Add(std::span<const std::byte> bytes) {
  XXH3_64bits_update(state_.get(), bytes.data(), bytes.size());
}

std::uint64_t StreamHash::Digest() const { return XXH3_64bits_digest(state_.get()); }

}  // namespace fastclip

#pragma once

#include <cstdint>

#include "pipeline/shards/sidecar.h"

namespace fastclip {

/// What manifests and sidecars store of FileFacts: fields of the same names, and the flags 1 (cut)
/// and 2 (with checksums). Formats before the third sidecar's have no first_damage.

inline constexpr std::uint32_t kCutFlag = 1, kChecksumsFlag = 2;

template <class Packed>
void PackFacts(const FileFacts& facts, Packed& packed) {
  packed.size = facts.stamp.size;
  packed.mtime_ns = facts.stamp.mtime_ns;
  packed.count = facts.count;
  packed.incomplete = facts.incomplete;
  packed.damaged = facts.damaged;
  packed.first_damage = facts.first_damage;
  packed.content_hash = facts.content_hash;
  packed.checksums_hash = facts.checksums_hash.value_or(0);
  packed.flags = (facts.cut ? kCutFlag : 0) | (facts.checksums_hash ? kChecksumsFlag : 0);
}

template <class Packed>
void UnpackFacts(const Packed& packed, FileFacts& facts) {
  facts.stamp = {packed.size, packed.mtime_ns};
  facts.count = packed.count;
  facts.incomplete = packed.incomplete;
  facts.damaged = packed.damaged;
  if constexpr (requires { packed.first_damage; }) facts.first_damage = packed.first_damage;
  facts.cut = (packed.flags & kCutFlag) != 0;
  facts.content_hash = packed.content_hash;
  if ((packed.flags & kChecksumsFlag) != 0) facts.checksums_hash = packed.checksums_hash;
}

}  // namespace fastclip

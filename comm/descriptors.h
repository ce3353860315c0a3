#pragma once

#include <cstdint>

#include "comm/launch.h"

namespace fastclip {

/// Files and sockets that a rank has open once the ranks are connected, about: the store and the
/// mesh take some for each rank, most on rank 0 where it serves the store.
std::int64_t DescriptorsOf(const Launch& launch);

/// Throws std::runtime_error where `limit` leaves less than some shards need beside them, with the
/// numbers and what raises the limit.
void CheckDescriptors(const Launch& launch, std::int64_t limit);

/// RLIMIT_NOFILE of this process.
std::int64_t DescriptorLimit();

}  // namespace fastclip

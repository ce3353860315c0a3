#pragma once

#include <cstdint>

#include "comm/launch.h"

namespace fastclip {

/// Estimate of the files and sockets that a rank has open once the ranks are connected. The store
/// and the mesh need some per rank; rank 0 needs most if it serves the store.
std::int64_t DescriptorsOf(const Launch& launch);

/// Throws std::runtime_error if `limit` leaves too few for shards and logs; the message has the
/// numbers and how to raise the limit.
void CheckDescriptors(const Launch& launch, std::int64_t limit);

/// RLIMIT_NOFILE of this process.
std::int64_t DescriptorLimit();

}  // namespace fastclip

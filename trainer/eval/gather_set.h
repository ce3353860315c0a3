#pragma once

#include "comm/communicator.h"
#include "trainer/eval/encode_set.h"

namespace fastclip {

/// The records of a set that a rank encodes: contiguous, in rank order, sizes that differ by one.
struct SetShare {
  SampleIndex first{};
  SampleIndex last{};
};
SetShare ShareOf(std::int64_t records, int rank, int world_size);

/// The parts that the ranks encoded, in rank order, as one set, on every rank; `caption_row` counts
/// through all pictures. Every rank calls it, also one that has no records.
EncodedSet GatherSet(const EncodedSet& mine, Communicator& comm);

}  // namespace fastclip

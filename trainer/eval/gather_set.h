#pragma once

#include "comm/communicator.h"
#include "trainer/eval/encode_set.h"

namespace fastclip {

/// The records of a set that a rank encodes: contiguous, in rank order, sizes differ by at most 1.
struct SetShare {
  SampleIndex first{};
  SampleIndex last{};
};
SetShare ShareOf(std::int64_t records, int rank, int world_size);

/// Gathers the parts of all ranks, in rank order, into one set on every rank; `caption_row` indexes
/// all its images. A collective: every rank must call it, also one without records.
EncodedSet GatherSet(const EncodedSet& mine, Communicator& comm);

}  // namespace fastclip

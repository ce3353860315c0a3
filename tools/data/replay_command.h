#pragma once

namespace fastclip {

/// `fastclip shards replay`: the hashes of an epoch's global batches, one line each.
int RunReplay(int argc, const char* const* argv);

}  // namespace fastclip

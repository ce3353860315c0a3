#pragma once

namespace fastclip {

/// `fastclip bench pipeline --shards LIST …`: training batches from shards, against the bare
/// kernels on the same records.
int RunBenchPipeline(int argc, const char* const* argv);

}  // namespace fastclip

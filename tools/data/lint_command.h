#pragma once

namespace fastclip {

/// `fastclip shards lint`: exit code 0 where all records and shards are sound, 1 where some are
/// not.
int RunLint(int argc, const char* const* argv);

}  // namespace fastclip

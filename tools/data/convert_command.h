#pragma once

namespace fastclip {

/// `fastclip shards convert TABLE OUT_DIR …`.
int RunConvert(int argc, const char* const* argv);

}  // namespace fastclip

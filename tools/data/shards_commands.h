#pragma once

namespace fastclip {

/// `fastclip shards VERB …`: makes, indexes and shows shards. Verbs are a table in the .cc.
int RunShards(int argc, const char* const* argv);

}  // namespace fastclip

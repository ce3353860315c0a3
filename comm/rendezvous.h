#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "comm/store.h"

namespace fastclip {

/// Waits until all ranks of this start have joined, and returns the same nonce on each: the prefix
/// of all later keys. A store can outlive a start (torchrun's does) and hold keys of an earlier
/// one. So each rank pushes a random token, rank 0 answers each token with the nonce, and the run
/// begins once every rank has confirmed that nonce. Tokens of dead ranks are answered but never
/// confirmed.
///
/// On rank 0, `say` gets the ranks that are still missing. Throws CommError with the missing ranks
/// after `timeout`.
std::string JoinRanks(Store& store, int rank, int world_size, std::chrono::milliseconds timeout,
                      const std::function<void(const std::string&)>& say);

/// "rank 3", "ranks 1, 2 and 5", "ranks 4 to 31 and 40".
std::string NameRanks(const std::vector<int>& ranks);

}  // namespace fastclip

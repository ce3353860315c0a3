#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "comm/store.h"

namespace fastclip {

/// Waits until all ranks of this very start are there, and gives each the same nonce, the prefix of
/// all further keys. A store may outlive a start (torchrun's does) and hold what ranks of an
/// earlier one left: a rank pushes a random token, rank 0 answers each token with the nonce, and
/// begins once every rank has confirmed that nonce; what the dead left is answered and never
/// confirmed.
///
/// `say` hears on rank 0 who is still missing. Throws CommError naming the missing ranks after
/// `timeout`.
std::string JoinRanks(Store& store, int rank, int world_size, std::chrono::milliseconds timeout,
                      const std::function<void(const std::string&)>& say);

/// "rank 3", "ranks 1, 2 and 5", "ranks 4 to 31 and 40".
std::string NameRanks(const std::vector<int>& ranks);

}  // namespace fastclip

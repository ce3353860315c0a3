#pragma once

#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "comm/communicator.h"

namespace fastclip {

/// Small values that the ranks exchange outside the step, over CPU tensors.

/// Each rank's text, in rank order. Every rank calls it.
std::vector<std::string> GatherTexts(Communicator& comm, const std::string& mine);
/// Each rank's number, in rank order. Every rank calls it.
std::vector<std::int64_t> GatherNumbers(Communicator& comm, std::int64_t mine);
/// Whether `mine` is true on any rank. Every rank calls it.
bool AnyRank(Communicator& comm, bool mine);
/// Thrown by Together() on every rank.
class SharedError : public std::runtime_error {
 public:
  SharedError(int rank, const std::string& what) : std::runtime_error(what), rank_(rank) {}
  int rank() const { return rank_; }  ///< of the rank that failed

 private:
  int rank_;
};

/// Runs `work`, which must not use collectives, on every rank. If it throws on one rank, all ranks
/// throw SharedError with that rank's message and number. In a world of one `work` is only run.
void Together(Communicator& comm, const std::function<void()>& work);

}  // namespace fastclip

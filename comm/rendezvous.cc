#include "comm/rendezvous.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <netdb.h>

#include <algorithm>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "comm/comm_error.h"

namespace fastclip {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto kLook = 20ms;  // between two looks into the store, of up to 100 ranks
constexpr auto kAnswer = 3s;  // a token without answer by then went to a dead rank 0
constexpr const char* kJoin = "fastclip/join";

std::string AnswerTo(const std::string& token) { return "fastclip/answer/" + token; }
std::string Confirmed(const std::string& nonce) { return "fastclip/confirmed/" + nonce; }
std::string Begun(const std::string& nonce) { return "fastclip/begun/" + nonce; }

std::string RandomName() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}", random(), random());
}

std::vector<int> Missing(const std::set<int>& joined, int world_size) {
  std::vector<int> missing;
  for (int rank = 1; rank < world_size; ++rank) {
    if (!joined.contains(rank)) missing.push_back(rank);
  }
  return missing;
}

std::string Receive(Store& store, int world_size, Clock::time_point end,
                    const std::function<void(const std::string&)>& say) {
  const std::string nonce = RandomName();
  std::set<int> joined;
  Clock::time_point next_word = Clock::now() + 5s;
  while (static_cast<int>(joined.size()) < world_size - 1) {
    bool idle = true;
    while (const auto token = store.Pop(kJoin)) {
      store.Set(AnswerTo(*token), nonce);
      idle = false;
    }
    while (const auto rank = store.Pop(Confirmed(nonce))) {
      joined.insert(std::stoi(*rank));
      idle = false;
    }
    if (!idle) continue;
    if (Clock::now() > end) {
      throw CommError(
          fmt::format("{} of {} did not join in time; check that they were started and can reach "
                      "this host, or raise comm.join_timeout",
                      NameRanks(Missing(joined, world_size)), world_size));
    }
    if (Clock::now() > next_word) {
      say(fmt::format("waiting for {} of {}", NameRanks(Missing(joined, world_size)), world_size));
      next_word = Clock::now() + 10s;
    }
    std::this_thread::sleep_for(kLook);
  }
  store.Set(Begun(nonce), "");
  return nonce;
}

std::string Join(Store& store, int rank, int world_size, Clock::time_point end) {
  // Of many ranks each looks less often: one store answers all.
  const auto look = std::max<Clock::duration>(kLook, kLook * world_size / 100);
  std::vector<std::string> nonces;  // confirmed; one of them begins
  const auto begun = [&] {
    return std::ranges::find_if(nonces,
                                [&](const auto& n) { return store.Get(Begun(n)).has_value(); });
  };
  for (;;) {
    const std::string token = fmt::format("{}:{}", rank, RandomName());
    store.Push(kJoin, token);
    bool answered = false;
    for (const auto again = std::min(end, Clock::now() + kAnswer); Clock::now() < again;
         std::this_thread::sleep_for(look)) {
      if (const auto found = begun(); found != nonces.end()) return *found;
      if (answered) continue;
      if (const auto nonce = store.Get(AnswerTo(token))) {
        answered = true;
        if (std::ranges::find(nonces, *nonce) != nonces.end()) continue;
        store.Push(Confirmed(*nonce), std::to_string(rank));
        nonces.push_back(*nonce);
      }
    }
    if (Clock::now() > end) {
      throw CommError(nonces.empty()
                          ? "rank 0 did not answer; check that it was started"
                          : "not all ranks joined in time; rank 0 lists the missing ones");
    }
  }
}

}  // namespace

std::string NameRanks(const std::vector<int>& ranks) {
  std::vector<std::string> runs;
  for (std::size_t i = 0; i < ranks.size();) {
    std::size_t last = i;
    while (last + 1 < ranks.size() && ranks[last + 1] == ranks[last] + 1) ++last;
    if (last > i + 1) {
      runs.push_back(fmt::format("{} to {}", ranks[i], ranks[last]));
    } else {
      for (std::size_t k = i; k <= last; ++k) runs.push_back(std::to_string(ranks[k]));
    }
    i = last + 1;
  }
  std::string text = ranks.size() == 1 ? "rank " : "ranks ";
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (i > 0) text += i + 1 == runs.size() ? " and " : ", ";
    text += runs[i];
  }
  return text;
}

std::string JoinRanks(Store& store, int rank, int world_size, std::chrono::milliseconds timeout,
                      const std::function<void(const std::string&)>& say) {
  const auto end = Clock::now() + timeout;
  return rank == 0 ? Receive(store, world_size, end, say) : Join(store, rank, world_size, end);
}

}  // namespace fastclip

// LibTorch asks for the name of every address that its store connects to, for a line of its log.
// Where no resolver answers, each connection waited ten seconds for it; so it gets the number.
extern "C" int getnameinfo(const sockaddr* address, socklen_t length, char* host,
                           socklen_t host_length, char* service, socklen_t service_length,
                           int flags) {
  static auto* const real =
      reinterpret_cast<decltype(&getnameinfo)>(dlsym(RTLD_NEXT, "getnameinfo"));
  return real(address, length, host, host_length, service, service_length, flags | NI_NUMERICHOST);
}

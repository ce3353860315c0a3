#include "comm/watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "comm/comm_error.h"
#include "comm/rendezvous.h"

namespace fastclip {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto kLook = 300ms;  // between two looks at a run that is in order
constexpr auto kAnswer = 3s;   // for the others' answers: they look every 300 ms
constexpr auto kLinger = 1s;   // rank 0 may serve the store: the others are still reading
constexpr const char* kFailed = "/failed";

std::string StatusOf(int rank) { return fmt::format("/status/{}", rank); }

std::string Format(const RankStatus& status) {
  return nlohmann::json{{"step", status.step},   {"calls", status.calls},
                        {"call", status.call},   {"seconds", status.seconds},
                        {"error", status.error}, {"of_others", status.of_others},
                        {"host", status.host}}
      .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

RankStatus Parse(const std::string& text) {
  const auto json = nlohmann::json::parse(text);
  return {.step = json.at("step"),
          .calls = json.at("calls"),
          .call = json.at("call"),
          .seconds = json.at("seconds"),
          .error = json.at("error"),
          .of_others = json.at("of_others"),
          .host = json.at("host")};
}

std::string StoreIsGone(std::int64_t step) {
  return fmt::format(
      "the store of rank 0 does not answer at step {}: rank 0 was killed, hangs, or is out of "
      "reach",
      step);
}

}  // namespace

std::string Verdict(const std::vector<std::optional<RankStatus>>& statuses, std::int64_t step) {
  std::vector<int> silent;
  for (std::size_t rank = 0; rank < statuses.size(); ++rank) {
    if (!statuses[rank]) silent.push_back(static_cast<int>(rank));
  }
  for (std::size_t rank = 0; rank < statuses.size(); ++rank) {
    const auto& status = statuses[rank];
    if (status && !status->error.empty() && !status->of_others) {
      return fmt::format("rank {} on {} failed at step {}: {}", rank, status->host, status->step,
                         status->error);
    }
  }
  if (!silent.empty()) {
    return fmt::format("{} did not answer at step {}: killed, hung, or out of reach",
                       NameRanks(silent), step);
  }
  // All live: one of them does not come. It has begun fewer calls, and waits in none.
  const bool some_wait =
      std::ranges::any_of(statuses, [](const auto& status) { return !status->call.empty(); });
  std::int64_t fewest = statuses.front()->calls;
  for (const auto& status : statuses) fewest = std::min(fewest, status->calls);
  for (std::size_t rank = 0; rank < statuses.size(); ++rank) {
    const RankStatus& status = *statuses[rank];
    if (some_wait && status.calls == fewest && status.call.empty()) {
      return fmt::format(
          "rank {} on {} did not come to its collective number {} at step {}: for "
          "{:.0f} s it has computed, read or written",
          rank, status.host, status.calls + 1, status.step, status.seconds);
    }
  }
  for (const auto& status : statuses) {
    if (!status->error.empty()) return fmt::format("at step {}: {}", status->step, status->error);
  }
  return fmt::format("at step {} a rank failed and did not say why", step);
}

struct Watch::State {
  std::string Key(const std::string& name) const { return prefix + name; }
  RankStatus Mine() const;
  std::string Confer(const RankStatus& mine);
  void Look();

  std::unique_ptr<Store> store;
  std::string prefix;
  int rank = 0;
  int world_size = 1;
  std::string host;
  std::function<void(const std::string&)> on_failure;

  std::atomic<std::int64_t> step{0};
  std::atomic<std::int64_t> calls{0};
  std::atomic<const char*> call{nullptr};
  std::atomic<Clock::rep> since{Clock::now().time_since_epoch().count()};

  std::mutex mutex;
  std::condition_variable changed;
  bool retire = false;
  bool ended = false;               // the thread
  bool others_failed = false;       // the thread is about to end the process
  std::optional<RankStatus> fault;  // this rank's own, for the thread to tell
  std::optional<std::string> verdict;
};

RankStatus Watch::State::Mine() const {
  const char* name = call;
  const Clock::duration lasted = Clock::now().time_since_epoch() - Clock::duration(since);
  return {.step = step,
          .calls = calls,
          .call = name == nullptr ? "" : name,
          .seconds = std::chrono::duration<double>(lasted).count(),
          .error = "",
          .of_others = false,
          .host = host};
}

std::string Watch::State::Confer(const RankStatus& mine) {
  std::vector<std::optional<RankStatus>> all(static_cast<std::size_t>(world_size));
  all[static_cast<std::size_t>(rank)] = mine;
  try {
    store->Set(Key(StatusOf(rank)), Format(mine));
    store->SetIfAbsent(Key(kFailed), std::to_string(rank));
    const auto complete = [&] { return std::ranges::all_of(all, [](auto& s) { return !!s; }); };
    for (const auto end = Clock::now() + kAnswer; Clock::now() < end && !complete();
         std::this_thread::sleep_for(50ms)) {
      for (int other = 0; other < world_size; ++other) {
        auto& status = all[static_cast<std::size_t>(other)];
        if (status) continue;
        if (const auto text = store->Get(Key(StatusOf(other)))) status = Parse(*text);
      }
    }
    if (rank == 0) std::this_thread::sleep_for(kLinger);
  } catch (const std::exception&) {
    // Once rank 0 has told what it knows it may end, and the store with it.
    const bool knows = std::ranges::any_of(all, [&](const auto& status) {
      return status && !status->error.empty() && !status->of_others;
    });
    if (!all.front() && !knows) return StoreIsGone(mine.step);
  }
  return Verdict(all, mine.step);
}

void Watch::State::Look() {
  std::unique_lock lock(mutex);
  for (;;) {
    changed.wait_for(lock, kLook, [this] { return retire || fault; });
    if (fault) {
      const RankStatus mine = *fault;
      lock.unlock();
      std::string found = Confer(mine);
      lock.lock();
      verdict = std::move(found);
      break;
    }
    if (retire) break;
    lock.unlock();
    bool failed = true;
    try {
      failed = store->Get(Key(kFailed)).has_value();
    } catch (const CommError&) {
      // Confer() will find the same and say it.
    }
    lock.lock();
    if (!failed || fault || retire) continue;
    others_failed = true;
    lock.unlock();
    on_failure(Confer(Mine()));
    lock.lock();
    break;
  }
  ended = true;
  changed.notify_all();
}

Watch::Watch(std::unique_ptr<Store> store, std::string prefix, int rank, int world_size,
             std::string host, std::function<void(const std::string&)> on_failure)
    : state_(std::make_shared<State>()) {
  state_->store = std::move(store);
  state_->prefix = std::move(prefix);
  state_->rank = rank;
  state_->world_size = world_size;
  state_->host = std::move(host);
  state_->on_failure = std::move(on_failure);
  std::thread([state = state_] { state->Look(); }).detach();
}

Watch::~Watch() { Retire(); }

void Watch::AtStep(std::int64_t step) { state_->step = step; }

void Watch::BeginCall(const char* name) {
  ++state_->calls;
  state_->since = Clock::now().time_since_epoch().count();
  state_->call = name;
}

void Watch::EndCall() {
  state_->call = nullptr;
  state_->since = Clock::now().time_since_epoch().count();
}

void Watch::Retire() {
  std::unique_lock lock(state_->mutex);
  state_->retire = true;
  state_->changed.notify_all();
  state_->changed.wait_for(lock, kAnswer, [this] { return state_->ended; });
}

std::string Watch::Fail(const std::string& error, bool of_others) {
  RankStatus mine = state_->Mine();
  mine.error = error;
  mine.of_others = of_others;
  std::unique_lock lock(state_->mutex);
  if (!state_->others_failed) state_->fault = mine;
  state_->changed.notify_all();
  // As long as Confer() may take, and some more.
  state_->changed.wait_for(lock, kAnswer + kLinger + 2s, [this] { return state_->ended; });
  if (state_->verdict) return *state_->verdict;
  return state_->others_failed ? error : StoreIsGone(mine.step);
}

}  // namespace fastclip

#include "comm/watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "comm/comm_error.h"
#include "comm/rendezvous.h"

namespace fastclip {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto kLook = 300ms;      // between two looks at a run that is in order
constexpr auto kPoll = 50ms;       // between two looks while ranks confer
constexpr auto kAnswer = 3s;       // for the others' answers: they look every kLook
constexpr auto kTrickle = 1500ms;  // while answers come, those that are late are waited for,
constexpr auto kAtMost = 10s;      // so long at most
constexpr auto kLinger = 3s;       // rank 0 may serve the store: for the others to hear the verdict
constexpr auto kSilence = 5s;      // a store that has not answered for so long is gone
constexpr const char* kFailed = "/failed";      // the rank that failed first, which collects
constexpr const char* kStatuses = "/statuses";  // a queue of what the ranks tell
constexpr const char* kBeats = "/beats";        // the collector's: it lives
constexpr const char* kVerdict = "/verdict";
constexpr const char* kHeard = "/heard";  // how many ranks know the verdict

std::string Format(int rank, const RankStatus& status) {
  return nlohmann::json{{"rank", rank},
                        {"step", status.step},
                        {"calls", status.calls},
                        {"call", status.call},
                        {"seconds", status.seconds},
                        {"error", status.error},
                        {"of_others", status.of_others},
                        {"host", status.host}}
      .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// `ranks`: how many are expected to hear it.
std::string FormatVerdict(int ranks, const std::string& text) {
  return nlohmann::json{{"ranks", ranks}, {"text", text}}.dump(
      -1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::pair<int, RankStatus> Parse(const std::string& text) {
  const auto json = nlohmann::json::parse(text);
  return {json.at("rank"),
          {.step = json.at("step"),
           .calls = json.at("calls"),
           .call = json.at("call"),
           .seconds = json.at("seconds"),
           .error = json.at("error"),
           .of_others = json.at("of_others"),
           .host = json.at("host")}};
}

bool IsOwnFault(const RankStatus& status) { return !status.error.empty() && !status.of_others; }

std::string StoreIsGone(std::int64_t step) {
  return fmt::format(
      "rank 0's store does not answer at step {}: rank 0 was killed, hangs, or is unreachable",
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
    if (status && IsOwnFault(*status)) {
      return fmt::format("rank {} on {} failed at step {}: {}", rank, status->host, status->step,
                         status->error);
    }
  }
  if (!silent.empty()) {
    return fmt::format("{} did not answer at step {}: killed, hung, or unreachable",
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
          "rank {} on {} did not reach collective {} at step {}: it has been computing, reading or "
          "writing for {:.0f} s; if it needs that long, raise comm.timeout or comm.patience",
          rank, status.host, status.calls + 1, status.step, status.seconds);
    }
  }
  for (const auto& status : statuses) {
    if (!status->error.empty()) return fmt::format("at step {}: {}", status->step, status->error);
  }
  return fmt::format("a rank failed at step {} without giving a reason", step);
}

struct Watch::State {
  std::string Key(const std::string& name) const { return prefix + name; }
  RankStatus Mine() const;
  /// One call of the store; notes when it was answered.
  template <class Call>
  auto Ask(const Call& call) {
    auto answer = call(*store);
    answered = Clock::now().time_since_epoch().count();
    return answer;
  }
  /// Of many ranks each looks less often: one store answers all.
  std::chrono::milliseconds Pause(std::chrono::milliseconds of_few) const {
    return std::max(of_few, of_few * world_size / 200);
  }
  std::string Confer(const RankStatus& mine);
  std::string Collect(const RankStatus& mine);
  std::string Hear(int collector, const RankStatus& mine);
  void Linger();
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
  std::atomic<Clock::rep> answered{0};  // when the store last was

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

/// Tells what this rank did, and hears or finds the verdict.
std::string Watch::State::Confer(const RankStatus& mine) {
  std::optional<std::string> found;
  try {
    const std::string me = std::to_string(rank);
    if (Ask([&](Store& s) { return s.SetIfAbsent(Key(kFailed), me); })) {
      found = Collect(mine);
    } else {
      Ask([&](Store& s) { return s.Push(Key(kStatuses), Format(rank, mine)), true; });
      const auto collector = Ask([&](Store& s) { return s.Get(Key(kFailed)); });
      found = Hear(std::stoi(collector.value_or("0")), mine);
    }
    Ask([&](Store& s) { return s.Add(Key(kHeard), 1); });
    if (rank == 0) Linger();
  } catch (const std::exception&) {
    // Once rank 0 has told the verdict it may end, and the store with it.
    if (!found && IsOwnFault(mine)) return mine.error;
    if (!found) return StoreIsGone(mine.step);
  }
  return *found;
}

/// Of the rank that failed first: what all tell, or as many as answer.
std::string Watch::State::Collect(const RankStatus& mine) {
  std::vector<std::optional<RankStatus>> all(static_cast<std::size_t>(world_size));
  all[static_cast<std::size_t>(rank)] = mine;
  int missing = world_size - 1;
  bool known = IsOwnFault(mine);
  const auto begin = Clock::now();
  auto last_answer = begin;
  while (missing > 0 && !known) {
    const auto text = Ask([&](Store& s) { return s.Pop(Key(kStatuses)); });
    const auto now = Clock::now();
    if (text) {
      const auto [other, status] = Parse(*text);
      auto& place = all.at(static_cast<std::size_t>(other));
      missing -= !place;
      place = status;
      known = IsOwnFault(status);
      last_answer = now;
      continue;
    }
    Ask([&](Store& s) { return s.Add(Key(kBeats), 1); });
    if (now > begin + kAtMost || (now > begin + kAnswer && now > last_answer + kTrickle)) break;
    std::this_thread::sleep_for(Pause(kPoll));
  }
  const int heard = known ? world_size : world_size - missing;
  const std::string verdict = Verdict(all, mine.step);
  Ask([&](Store& s) { return s.Set(Key(kVerdict), FormatVerdict(heard, verdict)), true; });
  return verdict;
}

/// Of the others: the verdict, once it is there.
std::string Watch::State::Hear(int collector, const RankStatus& mine) {
  std::int64_t beats = -1;
  for (auto heard = Clock::now(); Clock::now() < heard + kAnswer;) {
    if (const auto text = Ask([&](Store& s) { return s.Get(Key(kVerdict)); })) {
      return nlohmann::json::parse(*text).at("text");
    }
    const std::int64_t now = Ask([&](Store& s) { return s.Add(Key(kBeats), 0); });
    if (std::exchange(beats, now) != now) heard = Clock::now();
    std::this_thread::sleep_for(Pause(kPoll));
  }
  if (IsOwnFault(mine)) return mine.error;
  return fmt::format(
      "rank {} reported a failure at step {} and then did not answer: killed, hung, or unreachable",
      collector, mine.step);
}

/// Until all ranks know that are expected to hear it.
void Watch::State::Linger() {
  const auto text = Ask([&](Store& s) { return s.Get(Key(kVerdict)); });
  const int ranks = text ? nlohmann::json::parse(*text).at("ranks").get<int>() : world_size;
  for (const auto end = Clock::now() + kLinger; Clock::now() < end;
       std::this_thread::sleep_for(Pause(kPoll))) {
    if (Ask([&](Store& s) { return s.Add(Key(kHeard), 0); }) >= ranks) break;
  }
}

void Watch::State::Look() {
  const auto look = Pause(kLook);
  std::unique_lock lock(mutex);
  for (;;) {
    changed.wait_for(lock, look, [this] { return retire || fault; });
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
      failed = Ask([&](Store& s) { return s.Get(Key(kFailed)); }).has_value();
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
  // The thread has much to wait for, but a call of the store that does not end is never answered.
  const auto begin = Clock::now().time_since_epoch();
  const auto silent = [&] {
    const auto heard = std::max<Clock::duration>(begin, Clock::duration(state_->answered));
    return Clock::now().time_since_epoch() > heard + kSilence;
  };
  while (!state_->changed.wait_for(lock, kPoll, [this] { return state_->ended; }) && !silent()) {
  }
  if (state_->verdict) return *state_->verdict;
  return state_->others_failed || !of_others ? error : StoreIsGone(mine.step);
}

}  // namespace fastclip

#include "comm/watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <nlohmann/json.hpp>

#include "comm/comm_error.h"
#include "comm/rendezvous.h"

namespace fastclip {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto kLook = 300ms;  // between two looks at a run that is in order
constexpr auto kAnswer = 3s;   // for the others' answers: they look every 300 ms
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

Watch::Watch(std::unique_ptr<Store> store, std::string prefix, int rank, int world_size,
             std::string host, std::function<void(const std::string&)> on_failure)
    : store_(std::move(store)),
      prefix_(std::move(prefix)),
      rank_(rank),
      world_size_(world_size),
      host_(std::move(host)),
      on_failure_(std::move(on_failure)),
      since_(Clock::now().time_since_epoch().count()),
      looker_([this](const std::stop_token& stop) { Look(stop); }) {}

Watch::~Watch() = default;

void Watch::BeginCall(const char* name) {
  ++calls_;
  since_ = Clock::now().time_since_epoch().count();
  call_ = name;
}

void Watch::EndCall() {
  call_ = nullptr;
  since_ = Clock::now().time_since_epoch().count();
}

RankStatus Watch::Mine() const {
  const char* call = call_;
  const Clock::duration since = Clock::now().time_since_epoch() - Clock::duration(since_);
  return {.step = step_,
          .calls = calls_,
          .call = call == nullptr ? "" : call,
          .seconds = std::chrono::duration<double>(since).count(),
          .error = "",
          .of_others = false,
          .host = host_};
}

std::string Watch::Confer(const RankStatus& mine) {
  std::vector<std::optional<RankStatus>> all(static_cast<std::size_t>(world_size_));
  all[static_cast<std::size_t>(rank_)] = mine;
  try {
    store_->Set(Key(StatusOf(rank_)), Format(mine));
    store_->SetIfAbsent(Key(kFailed), std::to_string(rank_));
    const auto complete = [&] { return std::ranges::all_of(all, [](auto& s) { return !!s; }); };
    for (const auto end = Clock::now() + kAnswer; Clock::now() < end && !complete();
         std::this_thread::sleep_for(50ms)) {
      for (int rank = 0; rank < world_size_; ++rank) {
        auto& status = all[static_cast<std::size_t>(rank)];
        if (status) continue;
        if (const auto text = store_->Get(Key(StatusOf(rank)))) status = Parse(*text);
      }
    }
  } catch (const std::exception&) {
    // Once rank 0 has told what it knows it may end, and the store with it.
    if (all.front()) return Verdict(all, mine.step);
    return fmt::format(
        "the store of rank 0 is gone at step {}: rank 0 was killed, or its host is "
        "out of reach",
        mine.step);
  }
  return Verdict(all, mine.step);
}

void Watch::Look(const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any stopped;
  while (!stop.stop_requested()) {
    {
      std::unique_lock lock(mutex);
      stopped.wait_for(lock, stop, kLook, [] { return false; });
    }
    if (stop.stop_requested() || failing_) return;
    bool failed = true;
    try {
      failed = store_->Get(Key(kFailed)).has_value();
    } catch (const CommError&) {
      // Confer() will find the same and say it.
    }
    if (!failed) continue;
    if (failing_.exchange(true)) return;
    on_failure_(Confer(Mine()));
  }
}

void Watch::Retire() {
  looker_.request_stop();
  if (looker_.joinable()) looker_.join();
}

std::string Watch::Fail(const std::string& error, bool of_others) {
  if (failing_.exchange(true)) {
    if (looker_.joinable()) looker_.join();  // it ends the process
    return error;
  }
  Retire();
  RankStatus mine = Mine();
  mine.error = error;
  mine.of_others = of_others;
  return Confer(mine);
}

}  // namespace fastclip

// How long does it take until each of many ranks knows why a run failed, and do all report the same
// verdict? Ranks are threads of a few processes, each with the watch of a run and two connections
// to one real TCPStore.
//
//   build/tests/watch_bench [--ranks N] [--processes N] [--seconds LIMIT]
//
// Fails if a rank gets a wrong verdict, or gets it after --seconds.

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <latch>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "comm/c10d_communicator.h"
#include "comm/watch.h"

namespace fastclip {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;  // of the machine: the same in all processes

struct Settings {
  int ranks = 512;
  int processes = 4;
  double seconds = 5;
  int port = 0;
  int store_fd = -1;  // of the process that serves the store
  int first = 0;      // its ranks are [first, last)
  int last = 0;
};

enum class Failure {
  kOwnError,  // one rank fails, the others hear of it
  kGone,      // one rank is not there, and all others meet that in the same moment
  kHung,      // the same, and one of them alone notices
};
constexpr Failure kFailures[] = {Failure::kOwnError, Failure::kGone, Failure::kHung};
constexpr const char* kNames[] = {"a rank fails", "a rank is lost", "a rank hangs"};

int BoundSocket(int& port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (fd < 0 || bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      listen(fd, 1024) != 0 || getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    throw std::runtime_error("cannot open a port on the loopback interface");
  }
  port = ntohs(address.sin_port);
  return fd;
}

/// What the ranks of one process heard: each verdict with the seconds that the last of them took.
class Heard {
 public:
  explicit Heard(int ranks) : all_(ranks) {}
  void Add(const std::string& verdict) {
    const auto now = Clock::now();
    {
      const std::lock_guard lock(mutex_);
      auto& last = verdicts_.try_emplace(verdict, now).first->second;
      last = std::max(last, now);
    }
    all_.count_down();
  }
  void Wait() { all_.wait(); }
  const std::map<std::string, Clock::time_point>& verdicts() const { return verdicts_; }

 private:
  std::mutex mutex_;
  std::map<std::string, Clock::time_point> verdicts_;
  std::latch all_;
};

std::int64_t WaitFor(Store& store, const std::string& count, std::int64_t least) {
  for (;; std::this_thread::sleep_for(20ms)) {
    const std::int64_t now = store.Add(count, 0);
    if (now >= least) return now;
  }
}

/// One failure, seen by the ranks of this process; their verdicts and seconds go into the store.
void Fail(Failure failure, const Settings& settings,
          const std::vector<std::unique_ptr<Store>>& stores) {
  const std::string name = fmt::format("{}", static_cast<int>(failure));
  const int victim = settings.ranks / 2, told = settings.ranks - 1;
  Store& mine = *stores.front();
  int here = 0;
  for (int rank = settings.first; rank < settings.last; ++rank) {
    here += failure == Failure::kOwnError || rank != victim;
  }
  Heard heard(here);
  std::latch go(1);
  std::vector<std::unique_ptr<Watch>> watches;
  std::vector<std::jthread> failing;
  for (int rank = settings.first; rank < settings.last; ++rank) {
    if (failure != Failure::kOwnError && rank == victim) continue;
    watches.push_back(std::make_unique<Watch>(
        stores[static_cast<std::size_t>(rank - settings.first)]->Clone(), "run" + name, rank,
        settings.ranks, "host", [&heard](const std::string& verdict) { heard.Add(verdict); }));
    Watch& watch = *watches.back();
    watch.AtStep(12);
    watch.BeginCall("AllReduceSum");
    const bool fails =
        failure == Failure::kGone || rank == (failure == Failure::kOwnError ? victim : told);
    if (!fails) continue;
    failing.emplace_back([&, failure] {
      go.wait();
      const bool own = failure == Failure::kOwnError;
      heard.Add(watch.Fail(own ? "the disk is full" : "AllReduceSum: closed", !own));
    });
  }
  mine.Add("ready" + name, settings.last - settings.first);
  WaitFor(mine, "ready" + name, settings.ranks);
  const auto now = [] { return std::to_string(Clock::now().time_since_epoch().count()); };
  if (settings.first == 0) mine.Set("start" + name, now());
  std::optional<std::string> began;
  while (!(began = mine.Get("start" + name))) std::this_thread::sleep_for(20ms);
  go.count_down();
  const Clock::time_point start{Clock::duration(std::stoll(*began))};
  heard.Wait();
  for (const auto& [verdict, when] : heard.verdicts()) {
    mine.Push(
        "heard" + name,
        fmt::format("{:.3f} {}", std::chrono::duration<double>(when - start).count(), verdict));
  }
  mine.Add("done" + name, 1);
  if (settings.first == 0) WaitFor(mine, "done" + name, settings.processes);
}

/// Whether all ranks got the one verdict in time; said.
bool Judge(Failure failure, const Settings& settings, Store& store) {
  const std::string victim = std::to_string(settings.ranks / 2);
  const std::string expected =
      failure == Failure::kOwnError
          ? "rank " + victim + " on host failed at step 12: the disk is full"
          : "rank " + victim + " did not answer at step 12: killed, hung, or unreachable";
  double slowest = 0;
  bool right = true;
  const std::string queue = fmt::format("heard{}", static_cast<int>(failure));
  while (const auto line = store.Pop(queue)) {
    slowest = std::max(slowest, std::atof(line->c_str()));
    const std::string verdict = line->substr(line->find(' ') + 1);
    if (verdict == expected) continue;
    right = false;
    fmt::print("  wrong verdict: {}\n", verdict);
  }
  fmt::print("{:<15} {} ranks in {} processes: all knew after {:.2f} s\n",
             kNames[static_cast<int>(failure)], settings.ranks, settings.processes, slowest);
  std::fflush(stdout);
  return right && slowest <= settings.seconds;
}

bool RunPart(const Settings& settings) {
  std::vector<std::unique_ptr<Store>> stores;
  for (int rank = settings.first; rank < settings.last; ++rank) {
    Launch launch;
    launch.rank = rank;
    launch.world_size = settings.ranks;
    launch.store_host = "127.0.0.1";
    launch.store_port = static_cast<std::uint16_t>(settings.port);
    if (rank == 0) launch.store_fd = settings.store_fd;
    stores.push_back(OpenTcpStore(launch, 60s));
  }
  bool good = true;
  for (const Failure failure : kFailures) {
    Fail(failure, settings, stores);
    if (settings.first == 0) good = Judge(failure, settings, *stores.front()) && good;
  }
  return good;
}

pid_t Start(const Settings& settings) {
  const pid_t pid = fork();
  if (pid != 0) return pid;
  const auto text = [](int number) { return std::to_string(number); };
  execl("/proc/self/exe", "watch_bench", "--ranks", text(settings.ranks).c_str(), "--processes",
        text(settings.processes).c_str(), "--port", text(settings.port).c_str(), "--first",
        text(settings.first).c_str(), "--last", text(settings.last).c_str(), nullptr);
  _exit(127);
}

int Run(Settings settings) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  if (settings.port != 0) return RunPart(settings) ? 0 : 1;
  settings.store_fd = BoundSocket(settings.port);
  std::vector<pid_t> pids;
  const auto border = [&](int process) { return settings.ranks * process / settings.processes; };
  for (int process = 1; process < settings.processes; ++process) {
    settings.first = border(process), settings.last = border(process + 1);
    pids.push_back(Start(settings));
  }
  settings.first = 0, settings.last = border(1);
  bool good = RunPart(settings);
  for (const pid_t pid : pids) {
    int status = 0;
    good = waitpid(pid, &status, 0) == pid && status == 0 && good;
  }
  return good ? 0 : 1;
}

}  // namespace
}  // namespace fastclip

int main(int argc, char** argv) {
  fastclip::Settings settings;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string word = argv[i];
    const double value = std::atof(argv[i + 1]);
    if (word == "--ranks") settings.ranks = static_cast<int>(value);
    if (word == "--processes") settings.processes = static_cast<int>(value);
    if (word == "--seconds") settings.seconds = value;
    if (word == "--port") settings.port = static_cast<int>(value);
    if (word == "--first") settings.first = static_cast<int>(value);
    if (word == "--last") settings.last = static_cast<int>(value);
  }
  if (argc % 2 == 0 || settings.processes < 1 || settings.ranks < 2 * settings.processes) {
    fmt::print(stderr, "usage: watch_bench [--ranks N] [--processes N] [--seconds LIMIT]\n");
    return 2;
  }
  try {
    return fastclip::Run(settings);
  } catch (const std::exception& error) {
    fmt::print(stderr, "watch_bench: {}\n", error.what());
    return 2;
  }
}

#include "comm/local_ranks.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <stdexcept>

#include "comm/comm_error.h"
#include "pipeline/base/suggested_command.h"
#include "pipeline/files/file.h"

namespace fastclip {
namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void Fail(const char* what) {
  throw std::runtime_error(fmt::format("--ranks: {}: {}", what, std::strerror(errno)));
}

// Bound before the ranks start: no other program can take the port in between.
class LoopbackSocket {
 public:
  LoopbackSocket() : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    if (!fd_) Fail("cannot create a socket");
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        listen(fd_.get(), 1024) != 0 ||
        getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      Fail("cannot open a port on the loopback interface");
    }
    port_ = ntohs(address.sin_port);
  }
  int fd() const { return fd_.get(); }
  int port() const { return port_; }

 private:
  UniqueFd fd_;
  int port_ = 0;
};

sigset_t Signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGINT, SIGTERM, SIGUSR1, SIGCHLD}) sigaddset(&set, number);
  // One that is ignored (nohup) would be delivered here all the same, once it is blocked.
  struct sigaction hangup {};
  if (sigaction(SIGHUP, nullptr, &hangup) == 0 && hangup.sa_handler != SIG_IGN) {
    sigaddset(&set, SIGHUP);
  }
  return set;
}

class LocalRanks {
 public:
  LocalRanks(int ranks, const std::vector<std::string>& words) : pids_(ranks, 0) {
    const sigset_t set = Signals();
    sigprocmask(SIG_BLOCK, &set, &old_mask_);
    const LoopbackSocket socket;
    for (int rank = 0; rank < ranks; ++rank) Start(rank, words, socket);
  }
  ~LocalRanks() {
    SignalAll(SIGKILL);
    while (running_ > 0 && Reap(/*wait=*/true)) {
    }
    sigprocmask(SIG_SETMASK, &old_mask_, nullptr);
  }
  LocalRanks(const LocalRanks&) = delete;
  LocalRanks& operator=(const LocalRanks&) = delete;

  int Wait(std::chrono::seconds patience) {
    const sigset_t set = Signals();
    const timespec poll{.tv_sec = 0, .tv_nsec = 100'000'000};
    while (running_ > 0) {
      const int number = sigtimedwait(&set, nullptr, &poll);
      if (number > 0 && number != SIGCHLD) SignalAll(number);
      while (Reap(/*wait=*/false)) {
      }
      if (failed_ && Clock::now() > failed_at_ + patience) {
        // A rank that hangs does not hear SIGTERM; by now it has nothing left to save.
        SignalAll(SIGKILL);
      }
    }
    return code_;
  }

 private:
  void Start(int rank, const std::vector<std::string>& words, const LoopbackSocket& socket) {
    std::vector<std::string> variables = {fmt::format("RANK={}", rank),
                                          fmt::format("LOCAL_RANK={}", rank),
                                          fmt::format("WORLD_SIZE={}", pids_.size()),
                                          fmt::format("LOCAL_WORLD_SIZE={}", pids_.size()),
                                          "MASTER_ADDR=127.0.0.1",
                                          fmt::format("MASTER_PORT={}", socket.port()),
                                          fmt::format("FASTCLIP_STORE_FD={}", socket.fd()),
                                          "GLOO_SOCKET_IFNAME=lo"};
    std::vector<char*> environment;
    for (std::string& variable : variables) environment.push_back(variable.data());
    for (char** inherited = environ; *inherited != nullptr; ++inherited) {
      environment.push_back(*inherited);  // the first of two counts
    }
    environment.push_back(nullptr);
    std::vector<std::string> arguments = words;
    arguments.insert(arguments.begin(), ProgramName());
    std::vector<char*> argv;
    for (std::string& word : arguments) argv.push_back(word.data());
    argv.push_back(nullptr);

    const pid_t parent = getpid();
    const pid_t pid = fork();
    if (pid < 0) Fail("cannot start a process");
    if (pid == 0) {
      // A group of its own: a Ctrl-C reaches the ranks once, through their parent.
      setpgid(0, 0);
      prctl(PR_SET_PDEATHSIG, SIGTERM);
      if (getppid() != parent) _exit(1);
      sigprocmask(SIG_SETMASK, &old_mask_, nullptr);
      if (rank != 0) close(socket.fd());
      execve("/proc/self/exe", argv.data(), environment.data());
      _exit(127);
    }
    pids_[static_cast<std::size_t>(rank)] = pid;
    ++running_;
  }

  void SignalAll(int number) const {
    for (const pid_t pid : pids_) {
      if (pid > 0) kill(pid, number);
    }
  }

  bool Reap(bool wait) {
    int status = 0;
    const pid_t pid = waitpid(-1, &status, wait ? 0 : WNOHANG);
    if (pid <= 0) return false;
    for (std::size_t rank = 0; rank < pids_.size(); ++rank) {
      if (pids_[rank] == pid) Ended(rank, status);
    }
    return true;
  }

  void Ended(std::size_t rank, int status) {
    pids_[rank] = 0;
    --running_;
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (code == 0) return;
    if (WIFSIGNALED(status) && (!failed_ || Clock::now() < failed_at_ + std::chrono::seconds(1))) {
      // Unlike fmt::print it does not throw where stderr cannot be written.
      std::fputs(fmt::format("fastclip: rank {} was killed by signal {} ({})\n", rank,
                             WTERMSIG(status), strsignal(WTERMSIG(status)))
                     .c_str(),
                 stderr);
    }
    // The rank at fault and those that only heard of it end at about the same time.
    if (!failed_ || code_ == kOtherRankFailed) code_ = code;
    if (failed_) return;
    failed_ = true;
    failed_at_ = Clock::now();
  }

  std::vector<pid_t> pids_;  // 0: not running
  sigset_t old_mask_{};
  int running_ = 0;
  bool failed_ = false;
  Clock::time_point failed_at_;
  int code_ = 0;  // what Wait() returns
};

}  // namespace

int RunLocalRanks(int ranks, const std::vector<std::string>& words, int patience_seconds) {
  LocalRanks group(ranks, words);
  return group.Wait(std::chrono::seconds(patience_seconds));
}

}  // namespace fastclip

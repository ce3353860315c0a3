#pragma once

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

namespace fastclip {

/// Two network namespaces joined by a virtual cable, as two hosts would be: what ranks say crosses
/// a wire, and nothing of the machine's own network is seen.
class TwoHosts {
 public:
  TwoHosts() : names_{Name("a"), Name("b")} {
    made_ = Try("ip netns add " + names_[0]) && Try("ip netns add " + names_[1]) &&
            Try("ip link add eth0 netns " + names_[0] + " type veth peer name eth0 netns " +
                names_[1]) &&
            Up(0, "10.97.0.1/24") && Up(1, "10.97.0.2/24");
  }
  ~TwoHosts() {
    for (const std::string& name : names_) Try("ip netns delete " + name);
  }
  TwoHosts(const TwoHosts&) = delete;
  TwoHosts& operator=(const TwoHosts&) = delete;

  /// False where namespaces are not permitted, or the command `ip` is absent.
  bool made() const { return made_; }

  /// Runs the program with these words as two ranks on each host. Returns 0 if all end with 0; what
  /// they print goes to `log`.
  int RunRanks(const std::vector<std::string>& words, const std::string& log) const {
    std::string command;
    for (int rank = 0; rank < 4; ++rank) {
      command += "ip netns exec " + names_[rank / 2] +
                 " env WORLD_SIZE=4 LOCAL_WORLD_SIZE=2 MASTER_ADDR=10.97.0.1 MASTER_PORT=29500"
                 " GLOO_SOCKET_IFNAME=eth0 RANK=" +
                 std::to_string(rank) + " LOCAL_RANK=" + std::to_string(rank % 2) + " " +
                 FASTCLIP_BINARY;
      for (const std::string& word : words) command += " '" + word + "'";
      command += " >>" + log + " 2>&1 & p" + std::to_string(rank) + "=$!; ";
    }
    return std::system((command + "wait $p0 && wait $p1 && wait $p2 && wait $p3").c_str());
  }

 private:
  static std::string Name(const char* host) {
    return "fastclip-" + std::to_string(getpid()) + "-" + host;
  }
  static bool Try(const std::string& command) {
    return std::system((command + " >/dev/null 2>&1").c_str()) == 0;
  }
  bool Up(int host, const std::string& address) const {
    const std::string in = "ip -n " + names_[host];
    return Try(in + " address add " + address + " dev eth0") && Try(in + " link set eth0 up") &&
           Try(in + " link set lo up");
  }

  std::string names_[2];
  bool made_ = false;
};

}  // namespace fastclip

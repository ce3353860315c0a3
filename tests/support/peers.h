#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace fastclip {

/// The Python of the peers' environment (FASTCLIP_PEERS, or where tools/peers.sh makes it); empty
/// where it is absent: comparisons with Python are then skipped by name.
inline std::string PeersPython() {
  const char* set = std::getenv("FASTCLIP_PEERS");
  const std::string venv = set != nullptr && *set != '\0' ? set : "build/venv-peers";
  const std::string python = venv + "/bin/python";
  return std::filesystem::exists(python) ? python : "";
}

}  // namespace fastclip

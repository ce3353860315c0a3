#include "comm/interfaces.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <ifaddrs.h>
#include <net/if.h>

#include <algorithm>
#include <cstdlib>
#include <stdexcept>

namespace fastclip {

std::set<std::string> Interfaces() {
  std::set<std::string> names;
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return names;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr != nullptr && (entry->ifa_flags & IFF_UP) != 0)
      names.insert(entry->ifa_name);
  }
  freeifaddrs(list);
  return names;
}

void CheckInterfaces() {
  const char* wanted = std::getenv("GLOO_SOCKET_IFNAME");
  if (wanted == nullptr || *wanted == '\0') return;
  const std::set<std::string> there = Interfaces();
  const std::string names = wanted;
  for (std::size_t at = 0; at <= names.size();) {
    const std::size_t comma = std::min(names.find(',', at), names.size());
    const std::string name = names.substr(at, comma - at);
    if (!there.contains(name)) {
      throw std::runtime_error(
          fmt::format("GLOO_SOCKET_IFNAME: interface '{}' is not up on this host; use one of {}",
                      name, fmt::join(there, ", ")));
    }
    at = comma + 1;
  }
}

}  // namespace fastclip

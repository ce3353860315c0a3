#pragma once

#include <set>
#include <string>

namespace fastclip {

/// Network interfaces of this host that are up.
std::set<std::string> Interfaces();

/// Throws std::runtime_error if GLOO_SOCKET_IFNAME names an interface that is not up on this host.
/// (c10d would only report that it found no address.)
void CheckInterfaces();

}  // namespace fastclip

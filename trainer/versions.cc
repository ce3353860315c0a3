#include "trainer/versions.h"

#include <torch/version.h>
#include <unistd.h>

#include <array>

namespace fastclip {

std::map<std::string, std::string> Versions() {
  return {{"fastclip", FASTCLIP_VERSION}, {"torch", TORCH_VERSION}, {"compiler", __VERSION__}};
}

std::string HostName() {
  std::array<char, 256> name{};
  const bool known = gethostname(name.data(), name.size() - 1) == 0 && name[0] != '\0';
  return known ? name.data() : "localhost";
}

}  // namespace fastclip

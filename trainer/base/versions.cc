#include "trainer/base/versions.h"

#include <torch/version.h>

namespace fastclip {

std::map<std::string, std::string> Versions() {
  return {{"fastclip", FASTCLIP_VERSION}, {"torch", TORCH_VERSION}, {"compiler", __VERSION__}};
}

}  // namespace fastclip

#include "pipeline/record.h"

namespace fastclip {

const char* SkipName(Skip cause) {
  static constexpr const char* kNames[kSkipCauses] = {"no_image",  "no_caption", "undecodable",
                                                      "too_large", "truncated",  "missing"};
  return kNames[static_cast<int>(cause)];
}

}  // namespace fastclip

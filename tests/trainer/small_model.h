#pragma once

#include "trainer/model/clip_model.h"

namespace fastclip {

/// Two thin layers for pictures of 16 pixels and ByteTokenizer's ids.
inline ModelConfig SmallModel(std::int64_t context_length) {
  ModelConfig config;
  config.embed_dim = 12;
  config.vision = {.image_size = 16, .patch_size = 8, .width = 32, .layers = 1, .head_width = 16};
  config.text = {
      .context_length = context_length, .vocab_size = 259, .width = 32, .heads = 2, .layers = 1};
  return config;
}

}  // namespace fastclip

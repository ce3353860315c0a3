#pragma once

#include "pipeline/loader/batch_loader.h"
#include "tests/support/fake_source.h"

namespace fastclip {

inline constexpr int kSide = 12;
inline constexpr int kContext = 24;

// A loader of small pictures.
inline LoaderOptions Options(int threads = 2) {
  LoaderOptions options;
  options.image_size = kSide;
  options.context_length = kContext;
  options.threads = threads;
  options.prefetch = 3;
  return options;
}

// Records that are missing, damaged or without a caption, here and there.
inline FakeSource DirtySource(std::int64_t size) {
  FakeSource source(size);
  for (std::int64_t i = 0; i < size; i += 7) source.damaged[i] = true;
  for (std::int64_t i = 3; i < size; i += 11) source.bad[i] = Skip::kMissing;
  for (std::int64_t i = 5; i < size; i += 13) source.bad[i] = Skip::kNoCaption;
  return source;
}

}  // namespace fastclip

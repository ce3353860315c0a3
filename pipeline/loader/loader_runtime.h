#pragma once

#include <functional>
#include <memory_resource>

#include "pipeline/records/known_bad.h"

namespace fastclip {

enum class LoaderStage { kRead, kDecode, kResize, kTokenize };

/// What a loader shares with the program that makes it. All must outlive the loader.
struct LoaderRuntime {
  /// What is known to be bad is not read again, and what is found bad is added. Changes no batch.
  /// Shared; may be null.
  KnownBad* known_bad = nullptr;
  /// Where batches live; pinned memory for CUDA. Must outlive the batches too.
  std::pmr::memory_resource* memory = std::pmr::new_delete_resource();
  /// Tests: called where a stage begins to work on a record, to slow it.
  std::function<void(LoaderStage)> before_stage = nullptr;
};

}  // namespace fastclip

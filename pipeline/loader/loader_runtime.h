#pragma once

#include <functional>
#include <memory_resource>

#include "pipeline/records/known_bad.h"

namespace fastclip {

enum class LoaderStage { kRead, kDecode, kResize, kTokenize };

/// What a loader shares with its program. All must outlive the loader.
struct LoaderRuntime {
  /// Known bad records are not read again, and new ones are added. Does not change a batch. Shared;
  /// can be null.
  KnownBad* known_bad = nullptr;
  /// Gets the records of a row for which no usable one was found, of every cause, before the loader
  /// throws. Can be null.
  KnownBad* given_up = nullptr;
  /// Memory of the batches; pinned memory for CUDA. Must outlive the batches too.
  std::pmr::memory_resource* memory = std::pmr::new_delete_resource();
  /// Batches that the consumer holds at once; they count in LoaderOptions::memory_bytes.
  int held_batches = 1;
  /// For tests: called before a stage processes a record, to slow it down.
  std::function<void(LoaderStage)> before_stage = nullptr;
};

}  // namespace fastclip

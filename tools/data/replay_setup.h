#pragma once

#include <memory>
#include <string>

#include "pipeline/loader/loader_options.h"
#include "pipeline/order/order_plan.h"
#include "pipeline/records/record_source.h"
#include "tokenizer/tokenizer.h"

namespace fastclip {

/// What batches are made of.
struct ReplaySetup {
  std::unique_ptr<RecordSource> source;
  OrderPlan plan;
  std::shared_ptr<const Tokenizer> tokenizer;
  LoaderOptions loader;
  std::int64_t epochs = 0;  ///< of the run; 0: not known
};

/// Whether the words name a config or the folder of a run.
bool IsConfigOrRun(const std::string& path);
/// As that run trains (train/replay_of_run.cc: in a build with LibTorch alone). With `verify`, its
/// records are compared with their checksums. Throws as a start of the run does.
ReplaySetup SetupOfRun(const std::string& path, bool verify);

}  // namespace fastclip

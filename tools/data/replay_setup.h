#pragma once

#include <memory>
#include <string>

#include "pipeline/loader/loader_options.h"
#include "pipeline/order/order_plan.h"
#include "pipeline/records/record_source.h"
#include "tokenizer/tokenizer.h"

namespace fastclip {

/// The inputs of a BatchLoader.
struct ReplaySetup {
  std::unique_ptr<RecordSource> source;
  OrderPlan plan;
  std::shared_ptr<const Tokenizer> tokenizer;
  LoaderOptions loader;
  std::int64_t epochs = 0;  ///< of the run; 0: unknown
};

/// Whether `path` is a config file or a run folder.
bool IsConfigOrRun(const std::string& path);
/// The setup that the run trains with (train/replay_of_run.cc, only in a build with LibTorch).
/// `verify`: compare its records with their checksums. Throws as a start of the run does.
ReplaySetup SetupOfRun(const std::string& path, bool verify);

}  // namespace fastclip

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

/// The setup that a run trains with, given its config file or run folder. `verify`: compare its
/// records with their checksums. Throws as a start of the run does.
using OpenRun = ReplaySetup(const std::string& path, bool verify);

/// `fastclip shards replay`: the hashes of an epoch's global batches, one line each. `open_run` is
/// null in a build without LibTorch, which reads no configs.
int ReplayEpoch(int argc, const char* const* argv, OpenRun* open_run);

}  // namespace fastclip

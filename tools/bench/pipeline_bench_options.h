#pragma once

#include <string>

#include "pipeline/loader/loader_options.h"
#include "pipeline/order/order_options.h"
#include "pipeline/records/record_source.h"

namespace fastclip {

struct PipelineBenchOptions {
  std::string list;
  std::string tokenizer = "clip";
  OrderOptions order{.batch_size = 64, .seed = 1};
  SourceOptions source;
  LoaderOptions loader;
  double seconds = 30;
  bool json = false;
};

/// Like ParseArguments(), and fills in `options`.
bool ParsePipelineBench(int argc, const char* const* argv, PipelineBenchOptions& options);

}  // namespace fastclip

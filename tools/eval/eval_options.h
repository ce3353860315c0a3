#pragma once

#include <string>

#include "tools/cli/cli.h"

namespace fastclip {

/// The options of all `fastclip eval` verbs.
struct EvalOptions {
  std::string model;
  std::string shards;
  std::string adapter;
  std::string preset;
  std::string tokenizer;
  TableOptions table;
  int batch_size = 256;
  int threads = 0;  ///< 0: all cores
  std::string device = "auto";
  bool json = false;
};

/// Adds RUN_OR_CHECKPOINT, --shards, --model, --tokenizer, TableOptions, --batch, --threads,
/// --device and --json. `data`: the lists that --shards takes.
void AddEvalOptions(CLI::App& app, EvalOptions& options, const char* data = kListHelp);
void AddLabelKey(CLI::App& app, std::string& label_key);

}  // namespace fastclip

#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <stop_token>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "pipeline/base/console.h"
#include "tokenizer/tokenizer.h"
#include "trainer/config/config.h"
#include "trainer/eval/encode_set.h"
#include "trainer/log/run_log.h"
#include "trainer/model/clip_model.h"
#include "trainer/run/opened_data.h"

namespace fastclip {

/// What an evaluation works with.
struct EvaluationInput {
  const ClipModel& model;
  const Tokenizer& tokenizer;
  TensorTarget target;
  Communicator& comm;
  Console& console;
  std::stop_token stop;
};

/// Its figures, for metrics.jsonl and for people.
struct EvaluationResult {
  RunLog::Scalars scalars;
  nlohmann::json extra;
  std::string text;            ///< a line of its own
  std::string brief;           ///< for the status line: "R@1 0.136"
  std::string board_prefix{};  ///< RunLog::Board
};

/// One kind of evaluation during training. Every rank has the same ones and runs them together; the
/// ranks share the pictures.
class Evaluator {
 public:
  explicit Evaluator(std::int64_t every_epochs) : every_epochs_(every_epochs) {}
  virtual ~Evaluator() = default;
  /// Its event in metrics.jsonl: "retrieval".
  virtual const char* event() const = 0;
  /// Throws EncodingStopped on all ranks where one of them was stopped.
  virtual EvaluationResult Run(const EvaluationInput& input) const = 0;

  std::int64_t every_epochs() const { return every_epochs_; }
  /// The step of its last line; -1: none.
  std::int64_t done_at = -1;
  /// EvaluationResult::brief of the last one of this start.
  std::string brief;

 private:
  const std::int64_t every_epochs_;
};

/// Those that a config asks for, in the order in which they run. All arguments are borrowed.
std::vector<std::unique_ptr<Evaluator>> MakeEvaluators(const TrainConfig& config,
                                                       const ClassSet& classes,
                                                       const OpenedData& data);

}  // namespace fastclip

#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "comm/gpu_driver.h"
#include "pipeline/records/class_names.h"
#include "pipeline/records/record_source.h"
#include "tokenizer/tokenizer.h"
#include "tools/eval/eval_options.h"
#include "trainer/adapters/adapter.h"
#include "trainer/eval/encode_set.h"
#include "trainer/model/clip_model.h"

namespace fastclip {

/// The model to evaluate and how to feed it: as its run was trained, except that --model and
/// --tokenizer override the run's.
class EvalSubject {
 public:
  /// Opens the device, finds the model and sets ATen's threads; reads no weights. It must be the
  /// first use of LibTorch. Reports skipped damaged checkpoints on standard error. Throws
  /// UsageError if the model's shape is unknown, and std::runtime_error, which says what to do, for
  /// other errors.
  explicit EvalSubject(const EvalOptions& options);

  /// Reads the weights.
  std::unique_ptr<ClipModel> Load() const;
  /// The adapter, with its class head. Throws std::runtime_error if there is none, or none with a
  /// head.
  Adapter ReadHead() const;
  /// How the run reads records, without its training caption keys.
  const SourceOptions& source_options() const { return source_; }
  /// Opens a list and prints its warnings to standard error.
  std::unique_ptr<RecordSource> Open(const std::string& list, SourceOptions options) const;
  /// Opens a list with labels instead of captions. `label_key`: where they are stored; `names`:
  /// maps class names to labels.
  std::unique_ptr<RecordSource> OpenLabelled(const std::string& list, const std::string& label_key,
                                             std::shared_ptr<const ClassNames> names) const;

  /// "FILE", or "FILE with the adapter DIR".
  std::string name() const;
  /// "cpu: no NVIDIA driver".
  std::string DescribeDevice() const;
  const DeviceChoice& device() const { return device_; }
  const ModelConfig& model() const { return model_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  /// With a ProgressLine, unless --json is given.
  EncodeOptions Encode(const std::string& what, std::int64_t total) const;
  /// A ProgressLine, unless --json is given; `done` == total removes it.
  std::function<void(std::int64_t done)> Progress(const std::string& what,
                                                  std::int64_t total) const;
  /// Batch size of the validation loss: that of the training; 256 if it is unknown.
  std::int64_t loss_batch() const { return loss_batch_; }
  double Seconds() const;

 private:
  DeviceChoice device_;
  std::string file_;
  std::string adapter_;  // folder, if there is one; file_ are then the weights that it belongs to
  SourceOptions source_;
  ModelConfig model_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  EncodeOptions encode_;
  std::int64_t loss_batch_ = 256;
  bool watched_;
  bool names_columns_ = false;  // by options
  std::chrono::steady_clock::time_point start_;
};

}  // namespace fastclip

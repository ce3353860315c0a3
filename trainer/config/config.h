#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "comm/gpu_driver.h"
#include "comm/near_cores.h"
#include "pipeline/loader/loader_options.h"
#include "pipeline/order/mix.h"
#include "pipeline/order/order_plan.h"
#include "pipeline/records/table_keys.h"
#include "trainer/adapt/attach.h"
#include "trainer/base/config_table.h"
#include "trainer/base/kernels.h"
#include "trainer/model/clip_model.h"
#include "trainer/objective/contrastive_objective.h"
#include "trainer/objective/gamma_schedule.h"
#include "trainer/objective/temperature.h"
#include "trainer/optim/learning_rate.h"
#include "trainer/optim/optimizer.h"

namespace fastclip {

/// All options of a run. configs/quickstart.toml explains every key.
struct TrainConfig {
  std::string run;      ///< run folder
  bool resume = false;  ///< from the newest valid checkpoint of the run folder

  struct Train {
    std::int64_t epochs = 30;
    std::int64_t batch_size = 128;  ///< global
    std::uint64_t seed = 2024;
    int threads = 0;  ///< for the model; 0: ShareCores
    /// "cpu", "cuda" (one GPU per rank) or "auto". A LoadedConfig of a run has decided "auto".
    std::string device = "auto";
    bool pin_to_gpu_node = true;
    bool device_is_auto = false;      ///< `device` was decided: it is "auto" in RUN/config.toml
    bool threads_are_auto = false;    ///< `threads` was decided: it is 0 in RUN/config.toml
    std::string precision = "fp32";   ///< one of PrecisionNames()
    std::string residual = "auto";    ///< one of ResidualNames()
    bool grad_checkpointing = false;  ///< recompute transformer blocks in the backward pass
    std::int64_t micro_batches = 1;
    int length_groups = 0;  ///< TensorTarget::length_groups
    double clip_norm = 0;
    std::string init;             ///< checkpoint or run to take weights and estimators from
    std::string init_estimators;  ///< file to take estimators from (ImportEstimators)
    KernelOptions kernels;
    bool channels_last = true;  ///< TensorTarget::channels_last
    bool cuda_graphs = false;   ///< StepOptions::recorded
    std::string state = "auto";
    std::int64_t log_every = 10;
  } train;

  struct Data {
    std::string train;
    std::string val;
    std::string manifest;
    std::string tokenizer = "clip";
    std::string tail = "drop";  ///< or "pad", "carry": OrderOptions::tail
    MixOptions mix;             ///< keys weights, repeats, counts, …
    std::int64_t chunk = 0, lanes = 0, window = 0;
    std::vector<std::int64_t> lanes_per_rank;       ///< empty: even
    std::vector<std::string> captions;              ///< of `train`; empty: the usual places
    std::vector<double> caption_weights;            ///< empty: equal
    std::string image_key, caption_key, separator;  ///< of tables: TableKeys
    std::string caption_lines = "auto";             ///< of a .txt: whole for train, split for val
    std::int64_t max_record_bytes = std::int64_t{256} << 20;
    bool verify_checksums = false;     ///< of `train`
    std::string index_by;              ///< field of RecordKeys; empty: SampleIndex
    double max_skips_per_mille = 100;  ///< of the records tried so far; more stop the run
  } data;

  struct Model {
    std::string name = "ViT-B-32";
    std::string pretrained;
    bool trim_text = true;
    LockOptions lock;  ///< keys lock_image, …
    double patch_dropout = 0;
    bool sync_batch_norm = true;
  } model;

  AdaptOptions adapt;
  /// Keys that were set and that adapt.task makes idle (SetLabelTask).
  std::vector<std::string> idle_for_labels{};
  ObjectiveOptions objective;
  GammaOptions gamma;
  TemperatureOptions temperature;
  OptimizerOptions optimizer;
  LearningRateOptions learning_rate;
  LoaderOptions pipeline;
  int decoders = 0;  ///< pipeline.threads; 0: ShareCores. The number to use is in `pipeline`
  std::vector<std::string> formats = {"jpeg", "png", "webp"};  ///< pipeline.formats
  std::string pixels = "exact";                                ///< pipeline.pixels, or "fast"

  struct Comm {
    std::int64_t join_timeout = 300;  ///< seconds, until all ranks have joined
    std::int64_t timeout = 120;       ///< seconds, for a collective of a step
    std::int64_t patience = 3600;     ///< seconds, while ranks open data, evaluate or save
  } comm;

  struct Eval {
    std::int64_t every_epochs = 1;
    std::int64_t batch_size = 256;
    std::string zeroshot;
    std::string zeroshot_classes;
    std::string zeroshot_templates = "openai";
    std::string zeroshot_label_key;
    std::int64_t zeroshot_every_epochs = 1;
  } eval;

  struct Checkpoint {
    std::int64_t every_steps = 0;
    std::int64_t every_epochs = 1;
    std::int64_t keep = 3;
    bool async = true;  ///< written from a copy in host memory while training goes on
  } checkpoint;
};

/// The host that a config is used on: what its "auto" and 0 stand for.
struct HostOfRun {
  int ranks = 1;  ///< on this host; they share its cores
  /// Decides train.device = "auto"; empty: it stays.
  std::function<DeviceChoice()> choose_device{};
  /// The cores near the GPU of this rank; empty: all cores of the host, for all its ranks.
  std::function<HostCores()> cores_near_gpu{};
};

/// A config read from a file, with its table (for the origins of keys in errors).
class LoadedConfig {
 public:
  /// Reads FILE.toml, or RUN/config.toml for a run folder, and applies `section.key=value`
  /// overrides. A config in a run folder uses the folder where it is now, even if the run was moved
  /// or copied. Throws ConfigError.
  LoadedConfig(const std::string& path, const std::vector<std::string>& overrides,
               const HostOfRun& host = {});
  LoadedConfig(const LoadedConfig&) = delete;
  LoadedConfig& operator=(const LoadedConfig&) = delete;

  TrainConfig& operator*() { return config_; }
  const TrainConfig& operator*() const { return config_; }
  TrainConfig* operator->() { return &config_; }
  const TrainConfig* operator->() const { return &config_; }
  const ConfigTable& table() const { return table_; }
  /// How train.device = "auto" was decided; empty if it was not.
  const DeviceChoice& device_choice() const { return device_choice_; }
  /// The cores of this rank and those that it shares them with; whether to pin it.
  const HostCores& cores() const { return cores_; }
  /// "1 thread for training, 1 for decoding (2 cores, 1 rank)".
  std::string DescribeThreads() const;

  /// Refuses settings for which a step cannot be recorded: all steps must be the same work. Throws
  /// ConfigError with the key.
  void RefuseUnrecordable() const;

 private:
  void MoveRunTo(const std::string& file);
  /// Resolves values: "advice", format names, device and cores of this host.
  void Resolve(const HostOfRun& host);
  /// Checks that the resolved values can be used together.
  void Validate(const std::string& path) const;
  void CheckTemperatureFits() const;
  void ValidateAdapt() const;
  void ValidateGraphs() const;

  TrainConfig config_;
  ConfigTable table_;
  DeviceChoice device_choice_;
  HostCores cores_;
  bool shares_cores_ = false;  // some threads come from ShareCores
};

/// The objective's options, including those from other sections.
ObjectiveOptions ObjectiveOf(const TrainConfig& config);

/// Options of data.image_key, caption_key and separator. Throws std::runtime_error.
TableKeys TableKeysOf(const TrainConfig& config);

/// Binds all keys to the fields of `config`, which must outlive the table.
void BindConfig(TrainConfig& config, ConfigTable& table);

}  // namespace fastclip

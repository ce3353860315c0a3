#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "trainer/config/config.h"
#include "trainer/model/clip_model.h"
#include "trainer/state/weights_file.h"

namespace fastclip {

/// The temperature (and the sigmoid loss's bias) that a new run starts with.
struct StartTemperature {
  double tau = 0;
  bool tau_of_weights = false;
  std::optional<double> bias;  ///< for objectives that have one
  bool bias_of_weights = false;
};

/// The weights that a new run starts from (model.pretrained or train.init), compared with its
/// config, and the temperature that `temperature.from` makes of both. Reads headers and single
/// numbers only: a dry run says by it what a run does.
class StartWeights {
 public:
  /// `model` is the config's. Throws ConfigError or std::runtime_error where the weights are of
  /// another model.
  /// `init`: the file that train.init was resolved to (ResolveModel); empty: none.
  StartWeights(const LoadedConfig& config, const ModelConfig& model, std::uint64_t vocabulary_hash,
               const std::string& init);

  /// Nothing for a run that starts from fresh weights.
  const std::optional<WeightsFile>& file() const { return file_; }
  const StartTemperature& temperature() const { return temperature_; }
  /// Lines for the user: prefixes that were stripped, what
  /// could not be checked, whose temperature counts.
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  void ChooseTemperature(const TrainConfig& config);
  void ChooseBias(const TrainConfig& config);

  std::optional<WeightsFile> file_;
  StartTemperature temperature_;
  std::vector<std::string> notes_;
};

}  // namespace fastclip

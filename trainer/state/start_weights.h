#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "trainer/config/config.h"
#include "trainer/model/clip_model.h"
#include "trainer/state/checkpoint.h"
#include "trainer/state/weights_file.h"

namespace fastclip {

/// Initial temperature (and bias of the sigmoid loss) of a new run.
struct StartTemperature {
  double tau = 0;
  bool tau_of_weights = false;
  std::optional<double> bias;  ///< for objectives that have one
  bool bias_of_weights = false;
};

/// The weights that a new run starts from (model.pretrained or train.init), checked against its
/// config, and the temperature that `temperature.from` selects. Reads only headers and scalars, so
/// a dry run uses it too.
class StartWeights {
 public:
  /// `model` is the config's; `init` is the file that train.init resolves to (ResolveInit), empty
  /// for none. Throws ConfigError or std::runtime_error if the weights belong to another model.
  StartWeights(const LoadedConfig& config, const ModelConfig& model, std::uint64_t vocabulary_hash,
               const std::string& init);

  /// Nothing for a run with random initialization.
  const std::optional<WeightsFile>& file() const { return file_; }
  const StartTemperature& temperature() const { return temperature_; }
  /// Lines for the user: stripped prefixes, what could not be checked, which temperature is used.
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  void ChooseTemperature(const TrainConfig& config);
  void ChooseBias(const TrainConfig& config);

  std::optional<WeightsFile> file_;
  StartTemperature temperature_;
  std::vector<std::string> notes_;
};

/// The model that train.init names, which is not empty. Throws ConfigError.
ModelSource ResolveInit(const LoadedConfig& config);

}  // namespace fastclip

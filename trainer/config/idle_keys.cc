#include "trainer/config/idle_keys.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "trainer/base/precision.h"
#include "trainer/config/config_changes.h"
#include "trainer/objective/contrastive_objective.h"
#include "trainer/objective/temperature.h"

namespace fastclip {
namespace {

bool MeasuresColumns(const AdaptOptions& adapt) {
  return std::ranges::any_of(adapt.tuners, [](const std::string& tuner) {
    return std::ranges::any_of(
        std::array{"select=activation", "select=product", "select=gradient"},
        [&](const char* setting) { return tuner.find(setting) != tuner.npos; });
  });
}

}  // namespace

std::vector<std::string> KeysWithoutEffect(const TrainConfig& config) {
  const ConfigValues values = ValuesOf(config), defaults = ValuesOf(TrainConfig());
  std::vector<std::string> lines;
  const auto without_effect = [&](bool idle, std::vector<std::string> keys,
                                  const std::string& reason) {
    if (!idle) return;
    std::erase_if(keys, [&](const std::string& key) { return values.at(key) == defaults.at(key); });
    if (keys.empty()) return;
    lines.push_back(fmt::format("{} {} no effect {}", fmt::join(keys, ", "),
                                keys.size() == 1 ? "has" : "have", reason));
  };
  const auto with = [](const char* key, const std::string& value) {
    return fmt::format("with {} = {}", key, value);
  };

  const auto objective = MakeObjective(ObjectiveOf(config));
  const std::string objective_name = with("objective.name", config.objective.name);
  const TemperatureKind temperature = TemperatureOf(config.objective.name);
  const bool has_rho =
      config.objective.name == "fastclip_v3" || temperature == TemperatureKind::kIndividual;
  without_effect(objective->state_columns().empty(),
                 {"train.state", "objective.epsilon", "gamma.schedule", "gamma.start", "gamma.min",
                  "gamma.decay_epochs"},
                 objective_name);
  without_effect(!has_rho, {"objective.rho"}, objective_name);
  without_effect(temperature == TemperatureKind::kConstant, {"temperature.schedule"},
                 objective_name);
  without_effect(config.objective.name != "siglip", {"temperature.logit_bias"}, objective_name);

  // Per-sample temperatures always use these, whatever optimizer the weights use.
  const bool taus_move = temperature == TemperatureKind::kIndividual;
  const std::string& optimizer = config.optimizer.name;
  const std::string optimizer_name = with("optimizer.name", optimizer);
  without_effect(optimizer == "sgdm" && !taus_move,
                 {"optimizer.beta1", "optimizer.beta2", "optimizer.eps"}, optimizer_name);
  without_effect(optimizer == "lion" && !taus_move, {"optimizer.eps"}, optimizer_name);
  without_effect(optimizer != "sgdm", {"optimizer.momentum", "optimizer.nesterov"}, optimizer_name);

  const std::string& schedule = config.learning_rate.schedule;
  const std::string schedule_name = with("learning_rate.schedule", schedule);
  without_effect(schedule != "const-cooldown",
                 {"learning_rate.cooldown_epochs", "learning_rate.cooldown_power",
                  "learning_rate.cooldown_end"},
                 schedule_name);
  without_effect(schedule != "cosine" && config.temperature.schedule != "cosine",
                 {"learning_rate.lr_min"}, schedule_name);

  without_effect(config.train.device == "cpu",
                 {"train.pin_to_gpu_node", "train.state", "train.tf32", "train.cudnn_benchmark",
                  "train.cuda_graphs"},
                 "with train.device = cpu");
  without_effect(!PrecisionOf(config.train.precision).autocast, {"train.residual"},
                 with("train.precision", config.train.precision));
  without_effect(!config.model.trim_text, {"train.length_groups"}, "with model.trim_text = false");
  without_effect(config.adapt.tuners.empty(), {"adapt.exclude"}, "without adapt.tuners");
  without_effect(!config.adapt.on(), {"adapt.logit_scale", "adapt.projections"},
                 "without adapt.tuners");
  const bool labels = config.adapt.classifies();
  if (!config.idle_for_labels.empty()) {
    lines.push_back(fmt::format("{} {} no effect with adapt.task = classify",
                                fmt::join(config.idle_for_labels, ", "),
                                config.idle_for_labels.size() == 1 ? "has" : "have"));
  }
  without_effect(labels,
                 {"adapt.logit_scale", "data.captions", "data.caption_weights", "data.caption_key",
                  "data.caption_lines", "data.index_by", "model.trim_text", "train.length_groups"},
                 "with adapt.task = classify");
  without_effect(!labels, {"adapt.classes", "adapt.label_key", "adapt.head", "adapt.templates"},
                 "with adapt.task = contrastive");
  without_effect(labels && config.adapt.head != "zeroshot", {"adapt.templates"},
                 "with adapt.head = linear");
  without_effect(!MeasuresColumns(config.adapt), {"adapt.calibration_batches"},
                 "without an s2ft tuner with select=activation, product or gradient");
  without_effect(config.checkpoint.every_steps == 0 && config.checkpoint.every_epochs == 0,
                 {"checkpoint.async"}, "with checkpoint.every_steps and every_epochs = 0");
  without_effect(config.eval.every_epochs == 0, {"data.val"}, "with eval.every_epochs = 0");
  without_effect(config.eval.zeroshot.empty(),
                 {"eval.zeroshot_classes", "eval.zeroshot_templates", "eval.zeroshot_label_key"},
                 "without eval.zeroshot");
  return lines;
}

}  // namespace fastclip

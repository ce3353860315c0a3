#include "tools/train/saved_estimators.h"

#include <fmt/format.h>

#include <filesystem>
#include <stdexcept>

#include "pipeline/sources/open_source.h"
#include "tools/cli/progress_line.h"
#include "tools/cli/tell.h"
#include "tools/cli/usage_error.h"
#include "trainer/config/config.h"
#include "trainer/run/run_setup.h"
#include "trainer/state/checkpoint.h"

namespace fastclip {

SavedEstimators::SavedEstimators(const EstimatorOptions& options) {
  const ModelSource found = ResolveModel(options.run);
  TellSkipped(found.passed_over);
  const std::string checkpoint = std::filesystem::path(found.file).parent_path();
  const std::string config_file = found.run + "/config.toml";
  if (found.run.empty() || !std::filesystem::exists(config_file)) {
    throw UsageError(
        fmt::format("{}: needs the run's config.toml, which names the training data; use a "
                    "checkpoint in its run folder",
                    options.run));
  }
  const LoadedConfig config(config_file, {});
  tau_init_ = config->temperature.init;
  const CheckpointMeta meta = ReadCheckpointMeta(checkpoint);  // ResolveModel() checked it
  const std::string list = options.shards.empty() ? config->data.train : options.shards;
  SourceOptions source_options = TrainSourceOf(*config);
  source_options.manifest_fallback_dir = found.run;
  source_options.verify_checksums = false;
  source_options.refuse_missing_images = false;
  if (!options.shards.empty()) source_options.manifest.clear();
  source_ = OpenSource(list, source_options);
  if (source_->hash() != meta.data_hash) {
    throw std::runtime_error(
        fmt::format("{}: its estimators belong to data {:016x}, but '{}' is {:016x}; set --shards "
                    "to the list that it was trained on",
                    checkpoint, meta.data_hash, list, source_->hash()));
  }
  plan_.emplace(meta.order);
  table_ = OpenTable(checkpoint);
  if (!table_) {
    throw std::runtime_error(
        fmt::format("{}: objective {} has no estimators", checkpoint, meta.objective));
  }

  field_ = options.index_by.empty() ? config->data.index_by : options.index_by;
  if (field_.empty() || field_ == "index") {
    field_ = "index";
    return;
  }
  ProgressLine line;
  keys_.emplace(list, field_, source_options, [&](std::int64_t done, std::int64_t all) {
    line.Show(done, all, "records", "reading " + field_ + " (once)");
  });
  line.End();
  if (keys_->data_hash() != meta.data_hash) {
    throw std::runtime_error(
        fmt::format("'{}': changed while {} was read; run the command again", list, field_));
  }
}

at::Tensor SavedEstimators::Rows(std::span<const std::int64_t> indices) const {
  std::vector<LanePlace> places;
  for (const std::int64_t index : indices) {
    places.push_back(plan_->PlaceOf(SampleIndex{index}));
  }
  return table_->Read(places);
}

std::map<std::int64_t, std::int64_t> SavedEstimators::Find(
    const std::vector<std::int64_t>& wanted) const {
  if (keys_) return keys_->Find(wanted);
  std::map<std::int64_t, std::int64_t> found;
  for (const std::int64_t key : wanted) {
    if (key >= 0 && key < source_->size()) found[key] = key;
  }
  return found;
}

}  // namespace fastclip

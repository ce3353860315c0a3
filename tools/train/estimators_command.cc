#include <ATen/ATen.h>
#include <fmt/format.h>

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "pipeline/base/printable.h"
#include "pipeline/files/output_file.h"
#include "pipeline/sources/open_source.h"
#include "pipeline/sources/table_layout.h"
#include "tools/cli/cli.h"
#include "tools/cli/command.h"
#include "tools/cli/progress_line.h"
#include "tools/cli/tell.h"
#include "tools/cli/usage_error.h"
#include "trainer/config/config.h"
#include "trainer/run/run_setup.h"
#include "trainer/state/checkpoint.h"
#include "trainer/state/estimator_file.h"

namespace fastclip {
namespace {

struct Options {
  std::string run;
  std::string shards;    // empty: the run's
  std::string index_by;  // empty: the run's
};

void AddOptions(CLI::App& app, Options& options) {
  app.add_option("RUN_OR_CHECKPOINT", options.run,
                 "run folder (its newest complete checkpoint), or RUN/checkpoints/step_N")
      ->required();
  app.add_option("--shards", options.shards,
                 "training data, if it has moved: " + std::string(kListHelp));
  app.add_option(
      "--index-by", options.index_by,
      ".json field with the integer key of a record, as in json.key, or index (its position "
      "in the list); default: the run's data.index_by, else index");
}

/// The estimators of a checkpoint, and the records that they belong to.
class RunState {
 public:
  explicit RunState(const Options& options) {
    const ModelSource found = ResolveModel(options.run);
    for (const std::string& reason : found.passed_over) {
      Tell("skipped a damaged checkpoint: {}\n", reason);
    }
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
      throw std::runtime_error(fmt::format(
          "{}: its estimators belong to data {:016x}, but '{}' is {:016x}; set --shards "
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

  const RecordSource& source() const { return *source_; }
  const RecordKeys* keys() const { return keys_ ? &*keys_ : nullptr; }
  const std::vector<std::string>& columns() const { return table_->columns(); }
  /// The estimators of some records, [n, columns], read from the checkpoint.
  at::Tensor Rows(std::span<const std::int64_t> indices) const {
    std::vector<LanePlace> places;
    for (const std::int64_t index : indices) {
      places.push_back(plan_->PlaceOf(SampleIndex{index}));
    }
    return table_->Read(places);
  }
  double tau_init() const { return tau_init_; }
  /// The field that the records' integers are from, or "index".
  const std::string& field() const { return field_; }

  /// The record of each key that exists.
  std::map<std::int64_t, std::int64_t> Find(const std::vector<std::int64_t>& wanted) const {
    if (keys_) return keys_->Find(wanted);
    std::map<std::int64_t, std::int64_t> found;
    for (const std::int64_t key : wanted) {
      if (key >= 0 && key < source_->size()) found[key] = key;
    }
    return found;
  }

 private:
  double tau_init_ = 0;
  std::string field_;
  std::unique_ptr<RecordSource> source_;
  std::optional<OrderPlan> plan_;
  std::optional<SavedTable> table_;
  std::optional<RecordKeys> keys_;
};

int RunShow(int argc, const char* const* argv) {
  Options options;
  std::vector<std::int64_t> wanted;
  CLI::App app(
      "Prints the estimators of the given records, as the published code stores them: u of the\n"
      "image and u of the text (0 if the record was never seen). With per-sample temperatures,\n"
      "also prints these.",
      "fastclip estimators show");
  AddOptions(app, options);
  app.add_option("KEY", wanted, "integer keys of the records")->required()->check(AtLeast(0));
  app.footer("example: fastclip estimators show runs/quickstart 0 1 2");
  if (!ParseArguments(app, argc, argv)) return 0;
  const RunState state(options);
  const auto found = state.Find(wanted);
  for (const std::int64_t key : wanted) {
    const auto record = found.find(key);
    if (record == found.end()) {
      throw std::runtime_error(fmt::format("no record has {} {}", state.field(), key));
    }
    const std::vector<std::int64_t> index = {record->second};
    const RecordOrigin origin = state.source().OriginOf(SampleIndex{index[0]});
    fmt::print("{} {}: record {}, {} of {}\n", state.field(), key, index[0],
               fmt::format("{} {}", TableFormatOf(origin.file) ? "row" : "byte", origin.offset),
               origin.file);
    const std::vector<std::string> names = EstimatorNames(state.columns());
    const at::Tensor row = EstimatorRows(state.columns(), state.Rows(index))[0].contiguous();
    for (std::size_t c = 0; c < names.size(); ++c) {
      fmt::print("  {:<14} {:.6g}\n", names[c], row[static_cast<std::int64_t>(c)].item<double>());
    }
  }
  return 0;
}

int RunExport(int argc, const char* const* argv) {
  Options options;
  std::string out;
  CLI::App app(
      "Writes the estimators of all records in the format of the published code.\n"
      "The file has float32 tensors u_im and u_tt of shape [largest key + 1, 1]. For objectives "
      "with\n"
      "per-sample temperatures it also has tau_*, m_grad_tau_*, v_grad_tau_* and bound_*.\n"
      "train.init_estimators reads it.",
      "fastclip estimators export");
  AddOptions(app, options);
  app.add_option("--out", out, ".safetensors file to write")
      ->required()
      ->check([](const std::string& name) {
        for (const char* ending : {".pt", ".pth", ".bin", ".npz"}) {
          if (name.ends_with(ending))
            return fmt::format("must be a .safetensors file, not {}", ending);
        }
        return std::string();
      });
  app.footer("example: fastclip estimators export runs/quickstart --out u.safetensors");
  if (!ParseArguments(app, argc, argv)) return 0;
  const OutputKind kind = {"a file of estimators", [](std::string_view head) {
                             return head.find("\"u_im\"") != head.npos && head.substr(8, 1) == "{";
                           }};
  const std::string target = CheckOutputPath(out, kind);
  const RunState state(options);
  const std::int64_t infinite = ExportEstimators(
      target, state.keys(), state.columns(),
      [&](std::span<const std::int64_t> indices) { return state.Rows(indices); },
      state.source().size(), state.tau_init());
  const std::int64_t without = state.keys() != nullptr ? state.keys()->without_key() : 0;
  fmt::print("{}: estimators of {}, keyed by {}\n", out,
             Counted(state.source().size() - without, "record"), state.field());
  if (without > 0) {
    Tell("skipped {} without {}\n", Counted(without, "record"), state.field());
  }
  if (infinite > 0) {
    Tell(
        "{} beyond the range of float32, written as infinity; the published code treats "
        "infinity as never seen\n",
        Counted(infinite, "value"));
  }
  return 0;
}

const Command kVerbs[] = {
    {"show", "print the estimators of the given records", RunShow},
    {"export", "write the estimators of all records to a file", RunExport},
};

}  // namespace

/// `fastclip estimators show|export …`: the per-sample state of a checkpoint.
int RunEstimators(int argc, const char* const* argv) {
  return RunVerb("estimators", kVerbs,
                 "Shows or exports the per-sample state of a run or checkpoint.",
                 "fastclip estimators export runs/quickstart --out u.safetensors", argc, argv);
}

}  // namespace fastclip

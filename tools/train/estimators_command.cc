#include <ATen/ATen.h>
#include <fmt/format.h>

#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "pipeline/base/printable.h"
#include "pipeline/files/output_file.h"
#include "pipeline/sources/table_layout.h"
#include "tools/cli/cli.h"
#include "tools/cli/command.h"
#include "tools/cli/tell.h"
#include "tools/train/saved_estimators.h"
#include "trainer/state/estimator_file.h"

namespace fastclip {
namespace {

void AddOptions(CLI::App& app, EstimatorOptions& options) {
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

int RunShow(int argc, const char* const* argv) {
  EstimatorOptions options;
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
  const SavedEstimators state(options);
  const auto found = state.Find(wanted);
  for (const std::int64_t key : wanted) {
    const auto record = found.find(key);
    if (record == found.end()) {
      throw std::runtime_error(fmt::format(
          "no record has {} {}; {}", state.field(), key,
          state.keys() != nullptr ? fmt::format("the largest is {}", state.keys()->largest())
                                  : fmt::format("use 0 to {}", state.source().size() - 1)));
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
  EstimatorOptions options;
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
  const SavedEstimators state(options);
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

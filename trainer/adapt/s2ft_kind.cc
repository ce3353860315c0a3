#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>

#include "pipeline/base/printable.h"
#include "trainer/adapt/column_tuner.h"
#include "trainer/adapt/kinds.h"
#include "trainer/adapt/s2ft.h"
#include "trainer/adapt/unit_choice.h"
#include "trainer/model/fresh_weights.h"

namespace fastclip {
namespace {

template <class Visit>
void ForChoices(const AdaptOptions& options, const ModelConfig& model, const Visit& visit) {
  for (const TunerSpec& spec : ReadRecipe(options, model)) {
    if (spec.kind != "s2ft") continue;
    TunerSettings settings(spec);
    const UnitChoice choice = ReadUnitChoice(settings);
    visit(choice, [&](std::string_view reason) { settings.Fail(reason); });
  }
}

void RefuseGlobal(const UnitChoice& choice, const std::map<std::string, at::Tensor>& taken,
                  const std::function<void(std::string_view)>& fail) {
  if (!choice.global || taken.empty()) return;
  fail("allocation=global cannot leave out columns of other adapters; use uniform");
}

}  // namespace

/// S²FT: the columns of out_proj that read some heads, and those of c_proj that read some channels
/// of the MLP, train in place; all else is frozen. heads, channels: how many of each a block has.
/// select: at random (with `seed`), or by the norm of their weights, activations, the product of
/// both or gradients, the smallest or largest (`order`). allocation: `uniform`, as many in each
/// block, or `global`, as many on average. pick: the numbers of the units instead.
AttachTuner ReadS2ft(TunerSettings& settings) {
  UnitChoice choice = ReadUnitChoice(settings);
  // Scores are not known yet, only how many there will be.
  const bool chosen = choice.score == UnitScore::kRandom;
  choice.score = UnitScore::kRandom;
  return [choice, chosen](const TunerPlace& at) {
    const UnitGroup group = GroupAt(at.site.place);
    const Units units = UnitsAt(choice, at.site, at.tower, {}, at.fail);
    if (units.empty()) return;
    Linear& map = ConsumerOf(at.block, group);
    const at::Tensor index = ColumnsOf(units, UnitWidth(at.block, group)).to(map.weight.device());
    const at::Tensor start =  // index_select has no form for meta tensors
        map.weight.is_meta() ? at::empty({map.weight.size(0), index.size(0)}, map.weight.options())
                             : map.weight.detach().index_select(1, index);
    const at::Tensor columns = at.weights.Copy(at.Name("P"), start, Role::kAdded);
    map.tuners.push_back(std::make_shared<ColumnTuner>(columns, index, chosen));
  };
}

CalibrationNeed NeedOf(const AdaptOptions& options, const ModelConfig& model) {
  CalibrationNeed need = CalibrationNeed::kNothing;
  ForChoices(options, model, [&](const UnitChoice& choice, const auto&) {
    if (choice.score == UnitScore::kGradient) need = CalibrationNeed::kGradients;
    if (choice.score == UnitScore::kActivation || choice.score == UnitScore::kProduct) {
      need = std::max(need, CalibrationNeed::kActivations);
    }
  });
  return need;
}

std::int64_t CalibrationBatches(const AdaptOptions& options, std::int64_t epoch) {
  return options.calibration_batches > 0 ? options.calibration_batches : (epoch + 99) / 100;
}

std::vector<std::string> DescribeChoice(const AdaptOptions& options, const ModelConfig& model,
                                        std::int64_t epoch) {
  std::vector<std::string> lines;
  if (!options.exclude.empty()) {
    lines.push_back(
        fmt::format("s2ft leaves out the columns of {}",
                    PrintableLines(fmt::format("{}", fmt::join(options.exclude, ", ")))));
  }
  if (const CalibrationNeed need = NeedOf(options, model); need != CalibrationNeed::kNothing) {
    lines.push_back(
        fmt::format("s2ft chooses its columns by {}, measured on the batches of the first {}",
                    need == CalibrationNeed::kGradients ? "gradients" : "activations",
                    Counted(CalibrationBatches(options, epoch), "step")));
  }
  return lines;
}

bool HasColumns(const AdaptOptions& options, const ModelConfig& model) {
  bool has = false;
  ForChoices(options, model, [&](const UnitChoice&, const auto&) { has = true; });
  return has;
}

void CheckColumnsLeft(const ModelConfig& config, const AdaptOptions& options,
                      const std::map<std::string, at::Tensor>& taken) {
  const ClipModel model(config, FreshWeights::kZero, 0.07, at::kFloat, {}, at::kMeta);
  ForChoices(options, config, [&](UnitChoice choice, const auto& fail) {
    RefuseGlobal(choice, taken, fail);
    choice.score = UnitScore::kRandom;  // as many can be chosen, whatever they are ranked by
    for (const Site& site : choice.sites) {
      UnitsAt(choice, site, *model.transformer(site.tower), {.taken = taken}, fail);
    }
  });
}

void ChooseColumns(const ClipModel& model, const AdaptOptions& options, const SelectionData& data) {
  std::map<std::string, at::Tensor> indices;
  ForChoices(options, model.config(), [&](const UnitChoice& choice, const auto& fail) {
    RefuseGlobal(choice, data.taken, fail);
    for (const Site& site : choice.sites) {
      const Transformer& tower = *model.transformer(site.tower);
      const Units units = UnitsAt(choice, site, tower, data, fail);
      if (units.empty()) continue;
      const TransformerBlock& block = tower.blocks()[static_cast<std::size_t>(site.block)];
      const UnitGroup group = GroupAt(site.place);
      indices[site.id()] =
          ColumnsOf(units, UnitWidth(block, group)).to(ConsumerOf(block, group).weight.device());
    }
  });
  MoveColumns(model, indices);
}

}  // namespace fastclip

#include "trainer/adapters/adapter.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <set>
#include <stdexcept>

#include "pipeline/base/printable.h"
#include "trainer/adapt/attach.h"
#include "trainer/adapt/s2ft.h"
#include "trainer/adapters/peft_names.h"
#include "trainer/model/openclip_config.h"
#include "trainer/model/presets.h"
#include "trainer/state/adapter_tensors.h"
#include "trainer/state/weights_file.h"

namespace fastclip {
namespace {

// A recipe from a file must not fill the memory.
constexpr std::int64_t kMostLayers = 1024, kMostWidth = 1 << 18;
constexpr std::size_t kMostSites = 1 << 16;

[[noreturn]] void Fail(const std::string& where, const std::string& reason) {
  throw std::runtime_error(fmt::format("{}: {}", where, reason));
}

/// What a model with this recipe has, without memory for it.
std::map<std::string, std::vector<std::int64_t>> ShapesOf(const Adapter& adapter,
                                                          const std::string& where) {
  ClipModel model(ModelOf(adapter), FreshWeights::kZero, 0.07, at::kFloat, {}, at::kMeta);
  std::map<std::string, std::vector<std::int64_t>> shapes;
  for (const auto& [name, tensor] : model.parameters()) shapes[name] = tensor.sizes().vec();
  AttachTuners(model, {.tuners = adapter.tuners}, FreshWeights::kZero);
  for (const auto& [name, tensor] : model.added()) {
    if (shapes.emplace(name, tensor.sizes().vec()).second) continue;
    Fail(where, fmt::format("two tuners have a parameter {}", name));
  }
  for (const SelectedColumns& of : SelectedColumnsOf(model)) {
    shapes[of.site + ".index"] = of.index.sizes().vec();
  }
  return shapes;
}

bool IsIndex(const std::string& name) {
  const auto at = SiteOfParameter(name);
  return at && at->name == "index";
}

/// Columns of a weight with `count` of them, ascending.
bool AreColumns(const at::Tensor& index, std::int64_t count) {
  if (index.scalar_type() != at::kInt && index.scalar_type() != at::kLong) return false;
  const at::Tensor columns = index.to(at::kLong);
  return columns.min().item<std::int64_t>() >= 0 && columns.max().item<std::int64_t>() < count &&
         columns.diff().gt(0).all().item<bool>();
}

std::int64_t InputsOf(const std::map<std::string, std::vector<std::int64_t>>& shapes,
                      const std::string& index) {
  return shapes.at(WeightName(SiteOfParameter(index)->site)).at(1);
}

bool BelongsToSite(const std::string& name) { return OwnLayoutName(name) != name; }

/// A head that its metadata names, of the right shape, or no head at all.
void CheckHead(const Adapter& adapter, const std::string& where) {
  const ClassHead head = HeadOf(adapter.tensors);
  std::size_t parts = 0;
  for (const auto& [name, tensor] : adapter.tensors) parts += name.starts_with("head.") ? 1 : 0;
  if (adapter.head.empty() && parts == 0) return;
  if (!head.weight.defined() || !head.bias.defined() || parts != 2) {
    Fail(where, fmt::format("a class head must have the tensors {} and {}, and no others",
                            kHeadWeight, kHeadBias));
  }
  std::int64_t width = 0;
  try {
    width = HeadWidth(HeadInputOf(adapter.head), ModelOf(adapter));
  } catch (const std::invalid_argument& error) {
    Fail(where, error.what());
  }
  const std::int64_t count = head.bias.numel();
  if (count < 2 || head.bias.dim() != 1 || head.weight.sizes() != at::IntArrayRef({count, width})) {
    Fail(where,
         fmt::format("its class head has the shapes [{}] and [{}], but a {} head of model "
                     "{} is [classes, {}] and [classes]",
                     fmt::join(head.weight.sizes(), ", "), fmt::join(head.bias.sizes(), ", "),
                     adapter.head, Printable(adapter.model), width));
  }
  if (!adapter.classes.empty() && std::ssize(adapter.classes) != count) {
    Fail(where, fmt::format("its class head has {} classes, but it names {}", count,
                            adapter.classes.size()));
  }
}

}  // namespace

Adapter AdapterOf(const ClipModel& model, const std::vector<std::string>& tuners,
                  const std::string& base) {
  Adapter adapter{.model = model.config().name,
                  .model_config = OpenClipJson(model.config()),
                  .base = base,
                  .tuners = tuners,
                  .tensors = {}};
  for (const auto& [name, tensor] : AdapterTensors(model)) {
    const bool untrained =
        (name == "logit_scale" || name == "logit_bias") && !tensor.requires_grad();
    if (!untrained) adapter.tensors.emplace_back(name, tensor.detach());
  }
  return adapter;
}

ModelConfig ModelOf(const Adapter& adapter) {
  return ModelOfOpenClipJson(adapter.model_config, adapter.model);
}

std::int64_t ClassesOf(const Adapter& adapter) {
  const ClassHead head = HeadOf(adapter.tensors);
  return head.weight.defined() ? head.classes() : 0;
}

std::vector<TunerSpec> ReadRecipe(const Adapter& adapter, const std::string& where) {
  try {
    const ModelConfig model = ModelOf(adapter);
    CheckModelConfig(model);
    if (std::max(model.vision.layers, model.text.layers) > kMostLayers) {
      throw std::invalid_argument(fmt::format("a tower of more than {} blocks", kMostLayers));
    }
    const auto widest = std::max(static_cast<double>(model.vision.width) * model.vision.mlp_ratio,
                                 static_cast<double>(model.text.width) * model.text.mlp_ratio);
    if (widest > kMostWidth) {
      throw std::invalid_argument(fmt::format("an MLP wider than {}", kMostWidth));
    }
    const SiteCounts counts{.image_blocks = model.vision.is_resnet() ? 0 : model.vision.layers,
                            .text_blocks = model.text.layers};
    std::size_t sites = 0;
    for (const std::string& text : adapter.tuners) {
      sites += ReadTuner(text, counts).sites.size();
      if (sites > kMostSites) throw std::invalid_argument("the recipe names too many sites");
    }
    return ReadRecipe(AdaptOptions{.tuners = adapter.tuners}, model);
  } catch (const std::invalid_argument& error) {
    Fail(where, error.what());
  }
}

void CheckAdapter(const Adapter& adapter, const std::string& where) {
  ReadRecipe(adapter, where);
  std::map<std::string, std::vector<std::int64_t>> expected;
  try {
    expected = ShapesOf(adapter, where);
  } catch (const std::invalid_argument& error) {
    Fail(where, error.what());
  }
  CheckHead(adapter, where);
  std::set<std::string> present;
  for (const auto& [name, tensor] : adapter.tensors) {
    const auto shape = expected.find(name);
    if (!present.insert(name).second) {
      Fail(where, fmt::format("tensor {} appears twice", Printable(name)));
    }
    if (shape == expected.end()) {
      if (name.starts_with("head.") && at::isFloatingType(tensor.scalar_type())) continue;
      Fail(where, fmt::format("tensor {} belongs to no tuner of its recipe and to no parameter of "
                              "model {}",
                              Printable(name), Printable(adapter.model)));
    }
    const bool one = tensor.numel() == 1 && shape->second.empty();
    if (tensor.sizes() != at::IntArrayRef(shape->second) && !one) {
      Fail(where, fmt::format("tensor {} has shape [{}], but {} needs [{}]", Printable(name),
                              fmt::join(tensor.sizes(), ", "), Printable(adapter.model),
                              fmt::join(shape->second, ", ")));
    }
    if (IsIndex(name)) {
      if (AreColumns(tensor, InputsOf(expected, name))) continue;
      Fail(where, fmt::format("tensor {} does not hold columns of its weight, ascending", name));
    }
    if (!at::isFloatingType(tensor.scalar_type())) {
      Fail(where, fmt::format("tensor {} is not floating-point", Printable(name)));
    }
  }
  for (const auto& [name, shape] : expected) {
    if (BelongsToSite(name) && !present.contains(name)) {
      Fail(where, fmt::format("tensor {} of its recipe is missing", name));
    }
  }
  if (const std::string bad = FirstNotFinite(adapter.tensors); !bad.empty()) {
    Fail(where, fmt::format("tensor {} holds a NaN or an infinity: its training diverged, or the "
                            "file is damaged",
                            Printable(bad)));
  }
}

NamedTensors ModelTensors(const Adapter& adapter) {
  NamedTensors own;
  for (const auto& named : adapter.tensors) {
    if (!BelongsToSite(named.first) && !named.first.starts_with("head.")) own.push_back(named);
  }
  return own;
}

}  // namespace fastclip

#include "trainer/adapt/attach.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <span>
#include <stdexcept>

#include "pipeline/base/nearest.h"
#include "pipeline/base/printable.h"
#include "trainer/adapt/class_head.h"
#include "trainer/adapt/kinds.h"

namespace fastclip {
namespace {

const TunerKind& KindOf(const TunerSpec& spec) {
  std::vector<std::string> names;
  for (const TunerKind& kind : TunerKinds()) {
    if (kind.name == spec.kind) return kind;
    names.emplace_back(kind.name);
  }
  const std::string near = Nearest(spec.kind, names, 2);
  throw std::invalid_argument(
      fmt::format("tuner \"{}\": unknown kind '{}'; {}", Printable(spec.text), Printable(spec.kind),
                  near.empty() ? fmt::format("use {}", fmt::join(names, ", ")) : DidYouMean(near)));
}

void CheckPlaces(const TunerSpec& spec, const TunerKind& kind) {
  for (const Site& site : spec.sites) {
    if (std::ranges::find(kind.places, site.place) != kind.places.end()) continue;
    throw std::invalid_argument(fmt::format(
        "tuner \"{}\": {} cannot be placed at {}; {}", Printable(spec.text), kind.name, site.id(),
        kind.places.front().empty()
            ? std::string("name a whole tower, image or text")
            : fmt::format("its places are {}", fmt::join(kind.places, ", "))));
  }
}

void RefuseTwice(const std::vector<TunerSpec>& specs) {
  std::map<std::string, const TunerSpec*> taken;
  for (const TunerSpec& spec : specs) {
    for (const Site& site : spec.sites) {
      const auto [other, fresh] = taken.emplace(spec.kind + " at " + site.id(), &spec);
      if (fresh) continue;
      throw std::invalid_argument(fmt::format("tuner \"{}\": {} is already set by \"{}\"",
                                              Printable(spec.text), other->first,
                                              Printable(other->second->text)));
    }
  }
  for (const auto& [name, spec] : taken) {
    if (spec->kind != "s2ft") continue;
    for (const Site& site : spec->sites) {
      const auto full = taken.find("full at " + Site{site.tower, -1, ""}.id());
      if (full == taken.end()) continue;
      throw std::invalid_argument(
          fmt::format("tuner \"{}\": {} is already trained by \"{}\"; leave one out",
                      Printable(spec->text), site.id(), Printable(full->second->text)));
    }
  }
}

/// Two kinds can name their parameters alike, as `adapter` and `p_adapter` at one ffn.
void RefuseSameNames(std::span<const Parameter> made,
                     std::map<std::string, const TunerSpec*>& owners, const TunerSpec& spec) {
  for (const Parameter& parameter : made.subspan(owners.size())) {
    const auto [owner, fresh] = owners.emplace(parameter.name, &spec);
    if (fresh) continue;
    throw std::invalid_argument(
        fmt::format("tuner \"{}\": its {} would have the same name as a parameter of \"{}\"; "
                    "give them other places or settings",
                    Printable(spec.text), parameter.name, Printable(owner->second->text)));
  }
}

/// What would not train, or could not be chosen, with a head on the image tower.
void CheckLabelRecipe(const std::vector<TunerSpec>& specs, const AdaptOptions& options,
                      const ModelConfig& model) {
  const HeadInput input = HeadInputOf(options.head);
  if (input == HeadInput::kPooled && model.vision.is_resnet()) {
    throw std::invalid_argument(fmt::format(
        "model {} is a ResNet and has no pooled feature for a linear head; use adapt.head = "
        "zeroshot",
        model.name));
  }
  if (input == HeadInput::kPooled && options.projections) {
    throw std::invalid_argument(
        "adapt.projections: a linear head reads the image before its projection; leave it false, "
        "or use adapt.head = zeroshot");
  }
  for (const TunerSpec& spec : specs) {
    const auto text = std::ranges::find(spec.sites, Tower::kText, &Site::tower);
    if (text != spec.sites.end()) {
      throw std::invalid_argument(
          fmt::format("tuner \"{}\": {} would not be trained, since labels do not use the text "
                      "tower; name sites of the image tower only",
                      Printable(spec.text), text->id()));
    }
    const bool by_gradient = std::ranges::any_of(spec.settings, [](const TunerSetting& setting) {
      return setting.name == "select" && setting.value == "gradient";
    });
    if (by_gradient && input == HeadInput::kPooled) {
      throw std::invalid_argument(fmt::format(
          "tuner \"{}\": a linear head starts at zero, so the tower has no gradient to select by; "
          "use select=activation or product, or adapt.head = zeroshot",
          Printable(spec.text)));
    }
  }
}

}  // namespace

std::vector<TunerSpec> ReadRecipe(const AdaptOptions& options, const ModelConfig& model) {
  const SiteCounts counts{.image_blocks = model.vision.is_resnet() ? 0 : model.vision.layers,
                          .text_blocks = model.text.layers};
  std::vector<TunerSpec> specs;
  for (const std::string& text : options.tuners) {
    specs.push_back(ReadTuner(text, counts));
    const TunerKind& kind = KindOf(specs.back());
    CheckPlaces(specs.back(), kind);
    TunerSettings settings(specs.back());
    kind.read(settings);
    settings.RefuseUnread();
  }
  RefuseTwice(specs);
  if (options.classifies()) CheckLabelRecipe(specs, options, model);
  return specs;
}

void AttachTuners(ClipModel& model, const AdaptOptions& options, std::uint64_t seed,
                  std::int64_t classes) {
  const std::vector<TunerSpec> specs = ReadRecipe(options, model.config());
  const at::Tensor like = model.logit_scale();
  FreshWeights weights(seed, like.scalar_type(), like.device());
  std::vector<std::function<bool(const Parameter&)>> trains;
  std::map<std::string, const TunerSpec*> owners;
  for (const TunerSpec& spec : specs) {
    TunerSettings settings(spec);
    const AttachTuner attach = KindOf(spec).read(settings);
    for (const Site& site : spec.sites) {
      Transformer* const tower = model.transformer(site.tower);
      if (!tower) settings.Fail("a ResNet has no transformer blocks");
      const std::size_t block = static_cast<std::size_t>(std::max<std::int64_t>(site.block, 0));
      weights.At(site.tower, BlockPart(site.block));
      attach({site, *tower, tower->blocks()[block], weights, trains,
              [&](std::string_view reason) { settings.Fail(reason); }, model.dropout()});
      RefuseSameNames(weights.made(), owners, spec);
    }
  }
  const bool labels = options.classifies();
  if (classes > 0) AddClassHead(weights, model.config(), HeadInputOf(options.head), classes);
  // The scale of a zero-shot head is in its weights.
  model.Adapt(
      [&](const Parameter& parameter) {
        if (parameter.tower == Tower::kNeither) return options.logit_scale && !labels;
        if (parameter.role == Role::kHead) {
          if (labels && HeadInputOf(options.head) == HeadInput::kPooled) return false;
          if (options.projections && !(labels && parameter.tower == Tower::kText)) return true;
        }
        return std::ranges::any_of(trains, [&](const auto& of) { return of(parameter); });
      },
      std::move(weights.made()));
}

std::vector<std::string> DescribeTuners(const ClipModel& model, const AdaptOptions& options) {
  std::vector<std::string> lines;
  for (const TunerSpec& spec : ReadRecipe(options, model.config())) {
    std::int64_t made = 0, own = 0;
    for (const Parameter& parameter : model.described()) {
      if (!parameter.tensor.requires_grad()) continue;
      for (const Site& site : spec.sites) {
        const bool whole = site.block < 0, added = parameter.role == Role::kAdded;
        const std::string at = site.id() + (whole ? ".tokens." : ".");
        if (added && parameter.name.starts_with(at)) made += parameter.tensor.numel();
        if (whole && !added && parameter.tower == site.tower) own += parameter.tensor.numel();
      }
    }
    lines.push_back(fmt::format("{}: {}, {} parameters", spec.text,
                                Counted(std::ssize(spec.sites), "site"), made > 0 ? made : own));
  }
  return lines;
}

}  // namespace fastclip

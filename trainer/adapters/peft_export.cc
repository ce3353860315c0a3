#include "trainer/adapters/peft_export.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>

#include "trainer/adapters/lora_sites.h"

namespace fastclip {
namespace {

using nlohmann::json;

struct Pair {
  std::string path, target;  // of its tensors, and in patterns
  std::int64_t r;
  double alpha;
  at::Tensor a, b;
};

bool DoesNothing(const LoraSite& at) {
  return !at.a.count_nonzero().item<bool>() || !at.b.count_nonzero().item<bool>();
}

/// q, k and v of a block as one pair on in_proj, and the pair on out_proj that PEFT needs beside
/// it.
void Stack(const std::vector<LoraSite>& qkv, std::int64_t width, std::vector<Pair>& pairs) {
  std::int64_t rank = 0;
  for (const LoraSite& at : qkv) rank = std::max(rank, at.options.r);
  const double scaling = qkv[0].options.scaling();
  const at::TensorOptions type(qkv[0].a.scalar_type());
  at::Tensor a = at::zeros({3 * rank, width}, type);
  at::Tensor b = at::zeros({3 * width, 3 * rank}, type);
  for (const LoraSite& at : qkv) {
    const std::int64_t row = at.site.place == "q" ? 0 : at.site.place == "k" ? 1 : 2;
    const double ratio = at.options.scaling() / scaling;  // PEFT's pair has one scaling
    a.narrow(0, row * rank, at.options.r).copy_(at.a);
    b.narrow(0, row * width, width).narrow(1, row * rank, at.options.r).copy_(at.b * ratio);
  }
  const Site q{qkv[0].site.tower, qkv[0].site.block, "q"}, o{q.tower, q.block, "o"};
  const double alpha = scaling * static_cast<double>(3 * rank);
  const std::string target = TargetPath(q, Dialect::kOpenClip);
  pairs.push_back({ModulePath(o, Dialect::kOpenClip), target, 3 * rank, alpha,
                   at::zeros({3 * rank, width}, type), at::zeros({width, 3 * rank}, type)});
  pairs.push_back({target, target, 3 * rank, alpha, a, b});
}

std::vector<Pair> OpenClipPairs(const std::vector<LoraSite>& sites) {
  std::vector<Pair> pairs;
  for (auto first = sites.begin(); first != sites.end();) {
    const auto other_block = [&](const LoraSite& at) {
      return at.site.tower != first->site.tower || at.site.block != first->site.block;
    };
    const auto end = std::find_if(first, sites.end(), other_block);
    std::vector<LoraSite> qkv;
    for (; first != end; ++first) {
      const auto& [site, options, a, b] = *first;
      if (site.place == "q" || site.place == "k" || site.place == "v") {
        qkv.push_back(*first);
      } else if (site.place == "o") {
        if (DoesNothing(*first)) continue;
        throw std::runtime_error(fmt::format(
            "{} cannot be exported for OpenCLIP: PEFT 0.21 adds the change of an attention's "
            "out_proj twice there; use the dialect hf_clip",
            site.id()));
      } else {
        const double alpha = options.scaling() * static_cast<double>(options.r);
        const std::string path = ModulePath(site, Dialect::kOpenClip);
        pairs.push_back({path, path, options.r, alpha, a, b});
      }
    }
    if (!qkv.empty()) Stack(qkv, qkv[0].a.size(1), pairs);
  }
  return pairs;
}

std::vector<Pair> HfPairs(const std::vector<LoraSite>& sites, bool rslora) {
  std::vector<Pair> pairs;
  for (const auto& [site, options, a, b] : sites) {
    const double rank = static_cast<double>(options.r);
    const double alpha = rslora || !options.rslora ? options.alpha : options.scaling() * rank;
    const std::string path = ModulePath(site, Dialect::kHfClip);
    pairs.push_back({path, path, options.r, alpha, a, b});
  }
  return pairs;
}

/// 16 rather than 16.0.
json Number(double value) {
  if (value == std::floor(value) && std::abs(value) < 1e15) return std::int64_t(value);
  return value;
}

std::string LastOf(const std::string& path) { return path.substr(path.rfind('.') + 1); }

/// Names of modules ("q_proj") if each stands for all blocks of both towers, else whole paths.
std::set<std::string> TargetsOf(const std::vector<Pair>& pairs, const ModelConfig& model) {
  std::set<std::string> paths, names;
  std::map<std::string, std::int64_t> counts;
  for (const Pair& pair : pairs) {
    if (paths.insert(pair.target).second) ++counts[LastOf(pair.target)];
  }
  const std::int64_t all = model.vision.layers + model.text.layers;
  for (const auto& [name, count] : counts) {
    if (model.vision.is_resnet() || count != all) return paths;
    names.insert(name);
  }
  return names;
}

const SavedModule* SavedAs(const std::string& name, Dialect dialect) {
  const auto found = std::ranges::find(kSavedModules, name,
                                       [](const SavedModule& of) { return std::string(of.ours); });
  return dialect == Dialect::kHfClip && found != std::end(kSavedModules) ? &*found : nullptr;
}

}  // namespace

AdapterDocument ToPeft(const Adapter& adapter, Dialect dialect) {
  const std::vector<LoraSite> sites = LoraSites(adapter);
  const bool rslora = dialect == Dialect::kHfClip &&
                      std::ranges::all_of(sites, [](auto& at) { return at.options.rslora; });
  const std::vector<Pair> pairs =
      dialect == Dialect::kHfClip ? HfPairs(sites, rslora) : OpenClipPairs(sites);
  if (pairs.empty()) throw std::runtime_error("the adapter has no lora tuner");
  json config = {
      {"base_model_name_or_path", ""}, {"bias", "none"},
      {"inference_mode", true},        {"lora_dropout", 0.0},
      {"peft_type", "LORA"},           {"target_modules", TargetsOf(pairs, ModelOf(adapter))},
      {"task_type", nullptr}};
  if (rslora) config["use_rslora"] = true;
  for (const LoraSite& at : sites) {
    config["lora_dropout"] = std::max(config["lora_dropout"].get<double>(), at.options.dropout);
  }
  std::int64_t r = 0;
  double alpha = 0;
  bool alike = true;
  for (const Pair& pair : pairs) {
    r = std::max(r, pair.r), alpha = std::max(alpha, pair.alpha);
    alike = alike && pair.r == pairs[0].r && pair.alpha == pairs[0].alpha;
  }
  config["r"] = r;
  config["lora_alpha"] = Number(alpha);
  AdapterDocument document;
  for (const Pair& pair : pairs) {
    if (!alike) {
      config["rank_pattern"][pair.target] = pair.r;
      config["alpha_pattern"][pair.target] = Number(pair.alpha);
    }
    const std::string key = "base_model.model." + pair.path;
    document.tensors.emplace_back(key + ".lora_A.weight", pair.a);
    document.tensors.emplace_back(key + ".lora_B.weight", pair.b);
  }
  std::set<std::string> saved;
  for (const auto& [name, tensor] : adapter.tensors) {
    if (OwnLayoutName(name) != name) continue;
    if (const SavedModule* module = SavedAs(name, dialect)) {
      saved.insert(module->theirs);
      document.tensors.emplace_back(fmt::format("base_model.model.{}.weight", module->theirs),
                                    tensor.t().contiguous());
    } else {
      document.tensors.emplace_back(name, tensor);
    }
  }
  if (!saved.empty()) config["modules_to_save"] = saved;
  std::ranges::sort(document.tensors, {}, [](const auto& named) { return named.first; });
  document.config = config.dump(2) + "\n";
  return document;
}

std::vector<std::string> IgnoredByPeft(const Adapter& adapter, Dialect dialect) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : adapter.tensors) {
    if (OwnLayoutName(name) == name && !SavedAs(name, dialect)) names.push_back(name);
  }
  return names;
}

}  // namespace fastclip

#include "trainer/adapters/fuse_adapters.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <stdexcept>

#include "pipeline/base/printable.h"
#include "trainer/adapters/column_sites.h"
#include "trainer/adapters/lora_sites.h"
#include "trainer/adapters/peft_names.h"

namespace fastclip {
namespace {

using Weights = std::map<std::string, at::Tensor>;

at::ScalarType Wide(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

struct Weighted {
  LoraSite at;
  double weight;
};

LoraSite Concatenate(const std::vector<Weighted>& parts) {
  LoraSite sum = parts[0].at;
  if (parts.size() == 1) {
    sum.b = sum.b * parts[0].weight;
    return sum;
  }
  std::vector<at::Tensor> a, b;
  const auto type =
      std::ranges::any_of(parts, [](auto& of) { return Wide(of.at.a) == at::kDouble; })
          ? at::kDouble
          : at::kFloat;
  for (const auto& [at, weight] : parts) {
    a.push_back(at.a.to(type));
    b.push_back(at.b.to(type) * (weight * at.options.scaling()));
  }
  sum.a = at::cat(a, 0);
  sum.b = at::cat(b, 1);
  const std::int64_t rank = sum.a.size(0), most = std::min(sum.a.size(1), sum.b.size(0));
  if (rank > most) {
    throw std::runtime_error(fmt::format(
        "{}: the ranks add up to {}, but its matrix has only {}; merge the adapters instead",
        sum.site.id(), rank, most));
  }
  sum.options = {rank, static_cast<double>(rank), false};
  return sum;
}

std::vector<LoraSite> FuseLora(const std::vector<WeightedAdapter>& adapters) {
  std::map<std::string, std::vector<Weighted>> by_site;
  for (const auto& [name, adapter, weight] : adapters) {
    for (const LoraSite& at : LoraSites(adapter)) by_site[at.site.id()].push_back({at, weight});
  }
  std::vector<LoraSite> fused;
  for (const auto& [site, parts] : by_site) fused.push_back(Concatenate(parts));
  return fused;
}

class ColumnSum {
 public:
  ColumnSum(const Weights& base, OnOverlap overlap) : base_(base), overlap_(overlap) {}

  void Add(const WeightedAdapter& of, const ColumnSite& at) {
    Sum& sum = sums_[at.site.id()];
    const at::Tensor& weight = base_.at(WeightName(at.site));
    if (!sum.delta.defined()) {
      sum = {at.site, at::zeros(weight.sizes(), at::TensorOptions(Wide(weight))),
             at::zeros({weight.size(1)}, at::TensorOptions(at::kBool))};
    }
    const at::Tensor taken = sum.taken.index_select(0, at.index);
    if (overlap_ == OnOverlap::kRefuse && taken.any().item<bool>()) {
      throw std::runtime_error(fmt::format(
          "{}: {} trains {} of {} that another adapter trains too; train it with the other's "
          "columns excluded, or use --overlap add",
          of.name, at.site.id(), taken.sum().item<std::int64_t>(),
          Counted(at.index.size(0), "column")));
    }
    const auto type = Wide(weight);
    const at::Tensor delta = at.values.to(type) - weight.index_select(1, at.index).to(type);
    sum.delta.index_add_(1, at.index, delta * of.weight);
    sum.taken.index_fill_(0, at.index, true);
  }

  std::vector<ColumnSite> Finish() const {
    std::vector<ColumnSite> sites;
    for (const auto& [id, sum] : sums_) {
      const at::Tensor index = sum.taken.nonzero().view(-1);
      const at::Tensor start = base_.at(WeightName(sum.site)).index_select(1, index);
      sites.push_back({sum.site, index, start.to(Wide(start)) + sum.delta.index_select(1, index)});
    }
    return sites;
  }

 private:
  struct Sum {
    Site site;
    at::Tensor delta, taken;
  };
  const Weights& base_;
  const OnOverlap overlap_;
  std::map<std::string, Sum> sums_;
};

void FuseModelTensors(const std::vector<WeightedAdapter>& adapters, const Weights& base,
                      Adapter& fused) {
  Weights sums;
  for (const auto& [name, adapter, weight] : adapters) {
    for (const auto& [parameter, value] : ModelTensors(adapter)) {
      const at::Tensor& start = base.at(parameter);
      const auto type = Wide(start);
      auto [sum, fresh] = sums.try_emplace(parameter);
      if (fresh) sum->second = start.to(type).clone();
      sum->second += (value.to(type).reshape(start.sizes()) - start.to(type)) * weight;
    }
  }
  fused.tensors.insert(fused.tensors.end(), sums.begin(), sums.end());
}

}  // namespace

Adapter Fuse(const std::vector<WeightedAdapter>& adapters, const NamedTensors& base,
             OnOverlap overlap) {
  const Weights weights(base.begin(), base.end());
  std::set<std::string> of_model;
  ColumnSum columns(weights, overlap);
  for (const WeightedAdapter& of : adapters) {
    for (const TunerSpec& spec : ReadRecipe(of.adapter, of.name)) {
      if (spec.kind == "bitfit" || spec.kind == "full") {
        of_model.insert(spec.text);
      } else if (spec.kind != "lora" && spec.kind != "s2ft") {
        throw std::runtime_error(fmt::format(
            "{}: tuner \"{}\" cannot be fused: only changes of weights (lora, s2ft, bitfit, full) "
            "have a weighted sum",
            of.name, Printable(spec.text)));
      }
    }
    for (const auto& [name, tensor] : of.adapter.tensors) {
      if (!name.starts_with("head.")) continue;
      throw std::runtime_error(fmt::format(
          "{}: has a head for labels; heads of different tasks have no weighted sum", of.name));
    }
    for (const ColumnSite& at : ColumnSites(of.adapter)) columns.Add(of, at);
  }
  Adapter fused = LoraAdapter(adapters[0].adapter, FuseLora(adapters));
  const std::vector<ColumnSite> sites = columns.Finish();
  for (const std::string& text : ColumnRecipe(sites, ModelOf(fused))) fused.tuners.push_back(text);
  for (const auto& [site, index, values] : sites) {
    fused.tensors.emplace_back(site.id() + ".P", values);
    fused.tensors.emplace_back(site.id() + ".index", index);
  }
  fused.tuners.insert(fused.tuners.end(), of_model.begin(), of_model.end());
  FuseModelTensors(adapters, weights, fused);
  return fused;
}

}  // namespace fastclip

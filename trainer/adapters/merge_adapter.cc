#include "trainer/adapters/merge_adapter.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <stdexcept>

#include "pipeline/base/printable.h"
#include "pipeline/base/suggested_command.h"
#include "trainer/adapters/column_sites.h"
#include "trainer/adapters/lora_sites.h"
#include "trainer/adapters/peft_names.h"
#include "trainer/state/safetensors.h"

namespace fastclip {
namespace {

constexpr std::string_view kUnmergeEnd = ".unmerge.safetensors";

/// A base that is being merged: each weight is widened once, and rounded once at the end.
class Merger {
 public:
  explicit Merger(const NamedTensors& base) {
    for (const auto& [name, tensor] : base) base_[name] = tensor;
  }

  void Add(const LoraSite& at) {
    at::Tensor& weight = Wide(WeightName(at.site));
    const auto type = weight.scalar_type();
    const std::int64_t rows = at.b.size(0);
    const std::int64_t first = at.site.place == "k" ? rows : at.site.place == "v" ? 2 * rows : 0;
    weight.narrow(0, first, rows).add_(at::mm(at.b.to(type), at.a.to(type)), at.options.scaling());
  }

  /// Columns of S²FT: only they are kept and replaced.
  void SetColumns(const std::string& name, const at::Tensor& index, const at::Tensor& values) {
    at::Tensor& weight = Own(name);
    changes_.push_back({name, index, base_.at(name).index_select(1, index)});
    weight.index_copy_(1, index, values.to(weight.scalar_type()));
  }

  void Replace(const std::string& name, const at::Tensor& values) {
    const at::Tensor& before = base_.at(name);
    changes_.push_back({name, {}, before});
    merged_[name] = values.reshape(before.sizes()).to(before.scalar_type());
  }

  MergedWeights Finish(const NamedTensors& base) {
    for (auto& [name, weight] : wide_) {
      const at::Tensor& before = base_.at(name);
      changes_.push_back({name, {}, before});
      merged_[name] = weight.to(before.scalar_type());
    }
    MergedWeights merged{.tensors = base, .changes = std::move(changes_)};
    for (auto& [name, tensor] : merged.tensors) {
      if (const auto found = merged_.find(name); found != merged_.end()) tensor = found->second;
    }
    return merged;
  }

 private:
  at::Tensor& Wide(const std::string& name) {
    const auto [found, fresh] = wide_.try_emplace(name);
    if (fresh) {
      const at::Tensor& from = merged_.contains(name) ? merged_.at(name) : base_.at(name);
      found->second = from.to(from.scalar_type() == at::kDouble ? at::kDouble : at::kFloat,
                              /*non_blocking=*/false, /*copy=*/true);
    }
    return found->second;
  }

  at::Tensor& Own(const std::string& name) {
    const auto [found, fresh] = merged_.try_emplace(name);
    if (fresh) found->second = base_.at(name).clone();
    return found->second;
  }

  std::map<std::string, at::Tensor> base_, merged_, wide_;
  std::vector<WeightChange> changes_;
};

}  // namespace

std::vector<std::string> NotMergeable(const Adapter& adapter) {
  std::vector<std::string> names;
  for (const TunerSpec& spec : ReadRecipe(adapter, adapter.model)) {
    if (spec.kind != "lora" && spec.kind != "s2ft" && spec.kind != "bitfit" &&
        spec.kind != "full") {
      names.push_back(spec.text);
    }
  }
  return names;
}

MergedWeights Merge(const NamedTensors& base, const Adapter& adapter) {
  if (const std::vector<std::string> not_these = NotMergeable(adapter); !not_these.empty()) {
    throw std::runtime_error(
        fmt::format("the adapter cannot be merged: {} cannot be written as a change of weights "
                    "({}); use the adapter together with its base",
                    Counted(std::ssize(not_these), "tuner"),
                    Printable(fmt::format("{}", fmt::join(not_these, "; ")))));
  }
  Merger merger(base);
  for (const auto& [name, tensor] : ModelTensors(adapter)) merger.Replace(name, tensor);
  for (const auto& [site, index, values] : ColumnSites(adapter)) {
    merger.SetColumns(WeightName(site), index, values);
  }
  for (const LoraSite& at : LoraSites(adapter)) merger.Add(at);
  return merger.Finish(base);
}

void Unmerge(NamedTensors& tensors, const std::vector<WeightChange>& changes) {
  for (auto change = changes.rbegin(); change != changes.rend(); ++change) {
    for (auto& [name, tensor] : tensors) {
      if (name != change->weight) continue;
      tensor = change->index.defined() ? tensor.index_copy(1, change->index, change->before)
                                       : change->before;
    }
  }
}

std::string UnmergeFileOf(const std::string& merged) {
  constexpr std::string_view kEnd = ".safetensors";
  const bool named = merged.ends_with(kEnd);
  return merged.substr(0, merged.size() - (named ? kEnd.size() : 0)) + std::string(kUnmergeEnd);
}

void WriteUnmergeFile(const std::string& path, const UnmergeFile& file) {
  NamedTensors tensors;
  for (std::size_t i = 0; i < file.changes.size(); ++i) {
    const auto& [weight, index, before] = file.changes[i];
    const std::string name = fmt::format("{}/{}", i, weight);
    tensors.emplace_back(name, before);
    if (index.defined()) tensors.emplace_back(name + "/columns", index);
  }
  WriteSafetensors(path, tensors, {{"merged_sha256", file.merged}, {"base_sha256", file.base}});
}

UnmergeFile ReadUnmergeFile(const std::string& path) {
  const SafetensorsFile read = ReadSafetensors(path);
  const auto fail = [&](const std::string& reason) {
    throw std::runtime_error(
        fmt::format("{}: {}; write it with {}", path, reason, SuggestedCommand("adapt merge")));
  };
  if (!read.metadata.contains("merged_sha256") || !read.metadata.contains("base_sha256")) {
    fail("does not hold what a merged adapter replaced");
  }
  UnmergeFile file{.changes = {},
                   .merged = read.metadata.at("merged_sha256"),
                   .base = read.metadata.at("base_sha256")};
  const std::map<std::string, at::Tensor> tensors(read.tensors.begin(), read.tensors.end());
  for (std::size_t i = 0;; ++i) {
    const std::string start = fmt::format("{}/", i);
    const auto found = tensors.lower_bound(start);
    if (found == tensors.end() || !found->first.starts_with(start)) break;
    WeightChange change{found->first.substr(start.size()), {}, found->second};
    if (const auto index = tensors.find(found->first + "/columns"); index != tensors.end()) {
      change.index = index->second;
      if (change.index.scalar_type() != at::kLong || change.index.dim() != 1 ||
          change.before.dim() != 2 || change.before.size(1) != change.index.size(0)) {
        fail(fmt::format("is damaged at {}", Printable(change.weight)));
      }
    }
    file.changes.push_back(std::move(change));
  }
  return file;
}

std::string CheckBase(const Adapter& adapter, const std::string& base_hash,
                      const std::string& where, const std::string& weights) {
  if (adapter.base.empty()) {
    return fmt::format("note: {} does not say which weights it belongs to; {} cannot be checked",
                       where, weights);
  }
  if (adapter.base == base_hash) return "";
  throw std::runtime_error(fmt::format(
      "{}: the adapter belongs to other weights (SHA-256 {}…) than {} ({}…); use the base that it "
      "was trained on",
      where, Printable(adapter.base.substr(0, 12)), weights, base_hash.substr(0, 12)));
}

}  // namespace fastclip

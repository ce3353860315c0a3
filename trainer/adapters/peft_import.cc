#include "trainer/adapters/peft_import.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <cmath>
#include <map>
#include <stdexcept>

#include "pipeline/base/printable.h"
#include "trainer/adapters/lora_sites.h"
#include "trainer/adapters/peft_config.h"
#include "trainer/adapters/peft_export.h"
#include "trainer/adapters/peft_names.h"

namespace fastclip {
namespace {

constexpr std::string_view kPrefix = "base_model.model.";
constexpr std::string_view kA = ".lora_A.weight", kB = ".lora_B.weight";

/// A [r, in] and B [out, r] of one module.
struct Pair {
  at::Tensor a, b;
};

class Importer {
 public:
  Importer(const PeftConfig& config, const Adapter& like, bool plain_names, std::string where)
      : config_(config), like_(like), plain_names_(plain_names), where_(std::move(where)) {}

  void Take(const std::string& name, const at::Tensor& tensor) {
    if (!at::isFloatingType(tensor.scalar_type())) {
      Fail(fmt::format("tensor {} is not floating-point", Printable(name)));
    }
    if (!name.starts_with(kPrefix)) {
      if (!plain_names_) Fail(fmt::format("unknown tensor {}", Printable(name)));
      others_.emplace_back(name, tensor);
      return;
    }
    const std::string_view path = std::string_view(name).substr(kPrefix.size());
    for (const SavedModule& module : kSavedModules) {
      if (path != fmt::format("{}.weight", module.theirs)) continue;
      if (tensor.dim() != 2) Fail(fmt::format("tensor {} is not a matrix", name));
      others_.emplace_back(module.ours, tensor.t().contiguous());
      return;
    }
    const bool is_a = path.ends_with(kA);
    if (!is_a && !path.ends_with(kB)) {
      Fail(
          fmt::format("tensor {} is not supported; only LoRA of linear maps, and the projections "
                      "in modules_to_save, are",
                      Printable(name)));
    }
    const std::string module(path.substr(0, path.size() - kA.size()));
    if (!ModuleOf(module)) {
      Fail(
          fmt::format("module {} is not supported; adapters go at the attention's and the MLP's "
                      "linear maps of transformer blocks",
                      Printable(module)));
    }
    (is_a ? pairs_[module].a : pairs_[module].b) = tensor;
  }

  Adapter Finish() {
    for (const auto& [module, pair] : pairs_) AddModule(module, pair);
    if (sites_.empty()) Fail("has no LoRA tensors other than zeros");
    Adapter adapter = LoraAdapter(like_, sites_);
    adapter.tensors.insert(adapter.tensors.end(), others_.begin(), others_.end());
    return adapter;
  }

 private:
  [[noreturn]] void Fail(const std::string& reason) const {
    throw std::runtime_error(fmt::format("{}: {}", where_, reason));
  }

  void AddModule(const std::string& module, const Pair& pair) {
    const auto& [a, b] = pair;
    if (!a.defined() || !b.defined()) {
      Fail(fmt::format("module {} has no {}", module, a.defined() ? "lora_B" : "lora_A"));
    }
    if (a.dim() != 2 || b.dim() != 2 || a.size(0) != b.size(1) || a.size(0) < 1) {
      Fail(fmt::format("module {}: lora_A [{}] and lora_B [{}] are not [r, in] and [out, r]",
                       module, fmt::join(a.sizes(), ", "), fmt::join(b.sizes(), ", ")));
    }
    if (!a.count_nonzero().item<bool>() && !b.count_nonzero().item<bool>()) return;
    const PeftModule of = *ModuleOf(module);
    const LoraOptions options{a.size(0), config_.AlphaOf(TargetPath(of.site, of.dialect)),
                              config_.rslora(), config_.dropout()};
    if (of.site.place == "in_proj") {
      Split(of.site, module, pair, options);
    } else {
      sites_.push_back({of.site, options, a, b});
    }
  }

  /// The pair of in_proj's rows as one each of q, k and v.
  void Split(const Site& at, const std::string& module, const Pair& pair,
             const LoraOptions& options) {
    if (pair.b.size(0) % 3 != 0) {
      Fail(fmt::format("module {}: lora_B cannot be split into q, k and v", module));
    }
    const std::vector<at::Tensor> parts = pair.b.chunk(3, 0);
    const bool untrained = !pair.b.count_nonzero().item<bool>();
    constexpr std::array kPlaces = {"q", "k", "v"};
    for (std::size_t i = 0; i < 3; ++i) {
      LoraSite site{{at.tower, at.block, kPlaces[i]}, options, pair.a.clone(), parts[i].clone()};
      const at::Tensor read = parts[i].ne(0).any(0).nonzero().view(-1);  // columns of B in use
      if (!untrained && read.size(0) < options.r) {
        if (read.size(0) == 0) continue;
        const double rank = static_cast<double>(read.size(0));
        site.options = {read.size(0), options.scaling() * rank, false, options.dropout};
        site.a = pair.a.index_select(0, read);
        site.b = parts[i].index_select(1, read);
      }
      sites_.push_back(std::move(site));
    }
  }

  const PeftConfig& config_;
  const Adapter& like_;
  const bool plain_names_;
  const std::string where_;
  std::map<std::string, Pair> pairs_;
  std::vector<LoraSite> sites_;
  NamedTensors others_;
};

}  // namespace

Adapter FromPeft(const std::string& config, const NamedTensors& tensors, const Adapter& like,
                 bool plain_names, const std::string& where) {
  const PeftConfig read(config, where);
  Importer importer(read, like, plain_names, where);
  for (const auto& [name, tensor] : tensors) importer.Take(name, tensor);
  return importer.Finish();
}

}  // namespace fastclip

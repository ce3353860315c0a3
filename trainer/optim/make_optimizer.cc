#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <stdexcept>

#include "trainer/optim/grouped_optimizer.h"
#include "trainer/optim/update_rules.h"

namespace fastclip {
namespace {

bool IsShare(double value) { return value >= 0 && value < 1; }

void CheckNotNegative(const char* key, double value) {
  if (value >= 0 && std::isfinite(value)) return;
  throw std::invalid_argument(fmt::format("optimizer.{} = {} must be >= 0 and finite", key, value));
}

struct Kind {
  const char* name;
  UpdateRule (*rule)(const OptimizerOptions& options);
};

constexpr Kind kKinds[] = {
    {"adamw", FusedAdamWRule},
    {"lamb", LambRule},
    {"lion", LionRule},
    {"sgdm", FusedSgdRule},
};

const Kind* KindOf(const std::string& name) {
  for (const Kind& kind : kKinds) {
    if (kind.name == name) return &kind;
  }
  return nullptr;
}

}  // namespace

std::vector<std::string> OptimizerNames() {
  std::vector<std::string> names;
  for (const Kind& kind : kKinds) names.emplace_back(kind.name);
  return names;
}

void CheckOptimizer(const OptimizerOptions& options) {
  const std::string& name = options.name;
  if (KindOf(name) == nullptr) {
    throw std::invalid_argument(fmt::format("unknown optimizer.name \"{}\"; use one of {}", name,
                                            fmt::join(OptimizerNames(), ", ")));
  }
  if (!IsShare(options.beta1) || !IsShare(options.beta2)) {
    throw std::invalid_argument(fmt::format(
        "optimizer.beta1 = {} and beta2 = {} must be >= 0 and < 1", options.beta1, options.beta2));
  }
  CheckNotNegative("eps", options.eps);
  CheckNotNegative("weight_decay", options.weight_decay);
  if (!IsShare(options.momentum)) {
    throw std::invalid_argument(
        fmt::format("optimizer.momentum = {} must be >= 0 and < 1", options.momentum));
  }
  if (options.nesterov && name != "sgdm") {
    throw std::invalid_argument(
        fmt::format("optimizer.nesterov = true needs optimizer.name = \"sgdm\", not \"{}\"", name));
  }
  if (options.nesterov && options.momentum == 0) {
    throw std::invalid_argument("optimizer.nesterov = true needs optimizer.momentum > 0");
  }
}

std::unique_ptr<Optimizer> MakeOptimizer(const std::vector<Parameter>& parameters,
                                         const OptimizerOptions& options) {
  CheckOptimizer(options);
  return std::make_unique<GroupedOptimizer>(parameters, options.weight_decay,
                                            KindOf(options.name)->rule(options));
}

}  // namespace fastclip

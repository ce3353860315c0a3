#include "trainer/model/tuner.h"

#include <algorithm>
#include <stdexcept>

#include "trainer/model/linear.h"

namespace fastclip {

at::Tensor LinearTuner::Map(const Linear& of, const at::Tensor& x) const { return of.Plain(x); }

std::shared_ptr<const LinearTuner> LinearTuner::Rows(std::int64_t, std::int64_t) const {
  throw std::logic_error("this tuner cannot be divided by output rows");
}

bool BlockTuners::need_all_rows() const {
  const auto needs = [](const auto& list) {
    return std::ranges::any_of(list, [](const auto& of) { return of->needs_all_rows(); });
  };
  return needs(mha) || needs(ffn) || needs(block);
}

std::vector<at::Tensor> BlockTuners::parameters() const {
  std::vector<at::Tensor> all;
  const auto take = [&](const std::vector<at::Tensor>& of) {
    all.insert(all.end(), of.begin(), of.end());
  };
  for (const auto* list : {&mha, &ffn, &block}) {
    for (const auto& tuner : *list) take(tuner->parameters());
  }
  if (attention) take(attention->parameters());
  return all;
}

}  // namespace fastclip

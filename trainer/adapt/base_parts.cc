// Kinds that add nothing: they train parameters of the model itself.

#include "trainer/adapt/kinds.h"

namespace fastclip {
namespace {

bool IsBias(const Parameter& parameter) {
  return parameter.name.ends_with("bias") &&
         (parameter.role == Role::kOffset || parameter.role == Role::kNorm);
}

}  // namespace

/// All biases of a tower, of linear maps and norms (https://arxiv.org/abs/2106.10199).
AttachTuner ReadBitFit(TunerSettings&) {
  return [](const TunerPlace& at) {
    at.trains.push_back([tower = at.site.tower](const Parameter& parameter) {
      return parameter.tower == tower && IsBias(parameter);
    });
  };
}

/// All parameters of a tower.
AttachTuner ReadFull(TunerSettings&) {
  return [](const TunerPlace& at) {
    at.trains.push_back(
        [tower = at.site.tower](const Parameter& parameter) { return parameter.tower == tower; });
  };
}

}  // namespace fastclip

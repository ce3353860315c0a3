#include "trainer/adapt/lora.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "pipeline/base/counter_random.h"

namespace fastclip {
namespace {

/// The map of a site, the first of its output rows there, and their number.
struct MapRows {
  Linear& map;
  std::int64_t first, count;
};

MapRows RowsAt(TransformerBlock& block, std::string_view place) {
  const auto [heads, qk, v, ffn] = block.shape;
  if (place == "q") return {block.in_proj, 0, heads * qk};
  if (place == "k") return {block.in_proj, heads * qk, heads * qk};
  if (place == "v") return {block.in_proj, 2 * heads * qk, heads * v};
  Linear& map = place == "o" ? block.out_proj : place == "fc1" ? block.c_fc : block.c_proj;
  return {map, 0, map.weight.size(0)};
}

}  // namespace

at::Tensor LoraPair::Delta(const at::Tensor& x) const {
  const bool drops = dropout > 0 && of_model->value;
  const at::Tensor kept = drops ? Dropped(x, dropout, Mix(*of_model->value, site)) : x;
  return at::linear(at::linear(kept, a), b * scaling);
}

double LoraOptions::scaling() const {
  const double rank = static_cast<double>(r);
  return alpha / (rslora ? std::sqrt(rank) : rank);
}

LoraOptions ReadLoraOptions(TunerSettings& settings) {
  return {settings.Integer("r", 8, 1, 1 << 16), settings.Real("alpha", 16, 0, 1e6),
          settings.Flag("rslora", false), settings.Real("dropout", 0, 0, 0.99)};
}

LoraPair MakeLoraPair(const TunerPlace& at, const LoraOptions& options, std::int64_t out,
                      std::int64_t in) {
  if (options.r > std::min(in, out)) {
    at.fail(fmt::format("r = {} at {}, whose matrix is {} × {}; lower r", options.r, at.site.id(),
                        out, in));
  }
  LoraPair pair{at.weights.Uniform(at.Name("lora_A"), {options.r, in},
                                   1 / std::sqrt(static_cast<double>(in)), Role::kAdded),
                at.weights.Constant(at.Name("lora_B"), {out, options.r}, 0, Role::kAdded),
                options.scaling()};
  pair.dropout = options.dropout;
  pair.of_model = at.dropout;
  for (const char c : at.site.id()) pair.site = Mix(pair.site, static_cast<unsigned char>(c));
  return pair;
}

std::vector<at::Tensor> LoraTuner::parameters() const {
  std::vector<at::Tensor> all;
  for (const LoraPair& pair : pairs_) all.insert(all.end(), {pair.a, pair.b});
  return all;
}

at::Tensor LoraTuner::Add(const at::Tensor& x, at::Tensor y) const {
  for (const LoraPair& pair : pairs_) {
    y.narrow(-1, pair.first, pair.b.size(0)).add_(pair.Delta(x));
  }
  return y;
}

std::shared_ptr<const LinearTuner> LoraTuner::Rows(std::int64_t first, std::int64_t count) const {
  std::vector<LoraPair> inside;
  for (LoraPair pair : pairs_) {
    if (pair.first < first || pair.first >= first + count) continue;
    pair.first -= first;
    inside.push_back(std::move(pair));
  }
  if (inside.empty()) return nullptr;
  return std::make_shared<LoraTuner>(std::move(inside));
}

/// LoRA on one linear map. r: rank; alpha: scaling is alpha / r, with rslora alpha / √r; dropout:
/// of the input of A. A starts as PEFT's (uniform within ±1/√in), B at zero.
AttachTuner ReadLora(TunerSettings& settings) {
  const LoraOptions options = ReadLoraOptions(settings);
  return [options](const TunerPlace& at) {
    const auto [map, first, count] = RowsAt(at.block, at.site.place);
    LoraPair pair = MakeLoraPair(at, options, count, map.weight.size(1));
    pair.first = first;
    map.tuners.push_back(std::make_shared<LoraTuner>(std::vector{std::move(pair)}));
  };
}

}  // namespace fastclip

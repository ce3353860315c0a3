#include "trainer/adapt/s2ft.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <ranges>
#include <stdexcept>

#include "pipeline/base/printable.h"
#include "trainer/adapt/column_tuner.h"
#include "trainer/adapt/recipe.h"
#include "trainer/model/attention.h"

namespace fastclip {

namespace {

template <class Visit>
void ForColumnTuners(const ClipModel& model, const Visit& visit) {
  for (const Tower tower : {Tower::kImage, Tower::kText}) {
    const Transformer* const transformer = model.transformer(tower);
    if (!transformer) continue;
    for (std::size_t i = 0; i < transformer->blocks().size(); ++i) {
      for (const char* place : {"o", "fc2"}) {
        const Linear& map = ConsumerOf(transformer->blocks()[i], GroupAt(place));
        for (const auto& tuner : map.tuners) {
          const auto* columns = dynamic_cast<const ColumnTuner*>(tuner.get());
          if (columns) visit(Site{tower, static_cast<std::int64_t>(i), place}.id(), map, *columns);
        }
      }
    }
  }
}

bool FitsInto(const at::Tensor& index, const ColumnTuner& tuner, const Linear& map) {
  return index.sizes() == tuner.index().sizes() && index.scalar_type() == at::kLong &&
         index.min().item<std::int64_t>() >= 0 &&
         index.max().item<std::int64_t>() < map.weight.size(1) &&
         (index.size(0) == 1 || index.diff().min().item<std::int64_t>() > 0);
}

}  // namespace

std::vector<SelectedColumns> SelectedColumnsOf(const ClipModel& model) {
  std::vector<SelectedColumns> all;
  ForColumnTuners(model, [&](const std::string& site, const Linear& map, const ColumnTuner& tuner) {
    all.push_back({site, tuner.index(), tuner.columns(), tuner.start(), map.weight});
  });
  return all;
}

void MoveColumns(const ClipModel& model, const std::map<std::string, at::Tensor>& indices) {
  std::size_t found = 0;
  ForColumnTuners(model, [&](const std::string& site, const Linear& map, const ColumnTuner& tuner) {
    const auto index = indices.find(site);
    if (index == indices.end()) return;
    if (!FitsInto(index->second, tuner, map)) {
      throw std::invalid_argument(
          fmt::format("{}: the index must be {} ascending columns from 0 to {}", site,
                      tuner.index().size(0), map.weight.size(1) - 1));
    }
    ++found;
  });
  for (const auto& [site, index] : indices) {
    if (found == indices.size()) break;
    bool here = false;
    ForColumnTuners(model, [&](const std::string& other, auto&, auto&) { here |= other == site; });
    if (!here) throw std::invalid_argument(fmt::format("{} has no s2ft tuner", Printable(site)));
  }
  ForColumnTuners(model, [&](const std::string& site, const Linear& map, const ColumnTuner& tuner) {
    if (indices.contains(site)) tuner.MoveTo(map, indices.at(site));
  });
}

void MountedColumns::Set(const at::Tensor& weight, const at::Tensor& index,
                         const at::Tensor& values) {
  const at::NoGradGuard no_grad;
  kept_.push_back({weight, index, weight.detach().index_select(1, index)});
  weight.detach().index_copy_(1, index, values.detach().to(weight.device(), weight.scalar_type()));
}

void MountedColumns::Add(const at::Tensor& weight, const ColumnDelta& delta) {
  Set(weight, delta.index, weight.detach().index_select(1, delta.index) + delta.delta);
}

void MountedColumns::Restore() {
  const at::NoGradGuard no_grad;
  for (const Kept& kept : std::views::reverse(kept_)) {
    kept.weight.detach().index_copy_(1, kept.index, kept.values);
  }
  kept_.clear();
}

void AddServed(at::Tensor y, const at::Tensor& x, const std::vector<ServedRows>& served) {
  for (const auto& [first, count, delta] : served) {
    y.narrow(0, first, count)
        .addmm_(x.narrow(0, first, count).index_select(1, delta.index), delta.delta.t());
  }
}

}  // namespace fastclip

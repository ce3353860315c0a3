#include "trainer/estimator_file.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <stdexcept>

#include "pipeline/system_memory.h"
#include "trainer/objective/estimator.h"
#include "trainer/safetensors.h"

namespace fastclip {
namespace {

constexpr std::int64_t kBlock = 1 << 16;  // records

/// "tau_image" → "tau_im": what the published code calls a column.
std::string NameOf(const std::string& column) {
  static const std::map<std::string, std::string> kNames = {
      {"log_u", "u"}, {"tau", "tau"}, {"m", "m_grad_tau"}, {"v", "v_grad_tau"}, {"bound", "bound"}};
  const std::size_t cut = column.rfind('_');
  return kNames.at(column.substr(0, cut)) + (column.substr(cut) == "_image" ? "_im" : "_tt");
}

bool HasColumn(const std::vector<std::string>& columns, const std::string& name) {
  return std::ranges::find(columns, name) != columns.end();
}

/// The records [first, first + keys.size()) by key; of those that have one: record and key.
struct KeyedRecords {
  std::vector<std::int64_t> indices, keys;
  std::int64_t without_key = 0;
};

/// visit(KeyedRecords) for all records that `wanted` takes, some at a time.
template <class Wanted, class Visit>
void ForEachBlock(const RecordKeys* keys, std::int64_t records, const Wanted& wanted,
                  const Visit& visit) {
  std::vector<std::int64_t> block;
  for (std::int64_t first = 0; first < records; first += kBlock) {
    block.resize(static_cast<std::size_t>(std::min(kBlock, records - first)));
    if (keys != nullptr) {
      keys->Read(SampleIndex{first}, block);
    } else {
      std::iota(block.begin(), block.end(), first);
    }
    KeyedRecords some;
    for (std::size_t i = 0; i < block.size(); ++i) {
      const std::int64_t index = first + static_cast<std::int64_t>(i);
      if (!wanted(index)) continue;
      if (block[i] < 0) {
        ++some.without_key;
        continue;
      }
      some.indices.push_back(index);
      some.keys.push_back(block[i]);
    }
    visit(some);
  }
}

/// The tensors of a file that have a number a row, [rows] each.
class ReferenceState {
 public:
  explicit ReferenceState(const std::string& path) : path_(path) {
    for (auto& [name, tensor] : ReadSafetensors(path).tensors) {
      if (tensor.dim() == 0 || tensor.numel() != tensor.size(0)) continue;
      if (!at::isFloatingType(tensor.scalar_type())) continue;
      tensors_.emplace(name, tensor.flatten());
    }
    if (!Has("u_im") || !Has("u_tt")) {
      throw std::runtime_error(
          fmt::format("{}: has no u_im and u_tt of shape [rows] or [rows, 1]; they are in the "
                      "checkpoint of the published code, save them with "
                      "safetensors.torch.save_file",
                      path));
    }
    for (const char* side : {"_im", "_tt"}) {
      if (Has(std::string("bound") + side) || !Has(std::string("tau") + side)) continue;
      throw std::runtime_error(fmt::format(
          "{}: has tau{} and no bound{}, by whose exp() u{} is divided; both are in the published "
          "code's epoch_N_tau_rank_R.pt",
          path, side, side, side));
    }
    rows_ = tensors_.at("u_im").numel();
  }

  bool Has(const std::string& name) const { return tensors_.contains(name); }
  std::int64_t rows() const { return rows_; }
  /// Of some rows, double.
  at::Tensor At(const std::string& name, const at::Tensor& rows) const {
    const at::Tensor& all = tensors_.at(name);
    if (all.numel() != rows_) {
      throw std::runtime_error(
          fmt::format("{}: {} has {} rows, u_im {}", path_, name, all.numel(), rows_));
    }
    return all.index_select(0, rows).to(at::kDouble);
  }

 private:
  std::string path_;
  std::map<std::string, at::Tensor> tensors_;
  std::int64_t rows_ = 0;
};

/// ln u of the estimators `u`, which are divided by exp(bound).
at::Tensor LogU(const at::Tensor& u, const at::Tensor& bound) {
  const at::Tensor log_u = u.log();
  return at::where(Seen(log_u), log_u + bound, at::full_like(log_u, kUnseenLogU));
}

void RequireUsable(const std::string& path, const std::string& name, const at::Tensor& values) {
  at::Tensor good = values.isfinite();
  if (name.starts_with("tau")) {  // as float32 has them
    good = good & (values >= kSmallestTau - 1e-6) & (values <= kLargestTau + 1e-6);
  }
  if (good.all().item<bool>()) return;
  throw std::runtime_error(fmt::format("{}: {} has the value {}, which no run gives it", path, name,
                                       values.masked_select(good.logical_not())[0].item<double>()));
}

}  // namespace

ImportedEstimators ImportEstimators(const std::string& path, const RecordKeys* keys,
                                    const OrderPlan& plan, LaneRange lanes, SampleTable& table) {
  const ReferenceState from(path);
  ImportedEstimators imported;
  for (const std::string& name : EstimatorNames(table.columns())) {
    if (from.Has(name)) imported.tensors.push_back(name);
  }
  const auto mine = [&](std::int64_t index) {
    const std::int64_t lane = plan.PlaceOf(SampleIndex{index}).lane;
    return lane >= lanes.first && lane < lanes.last;
  };
  ForEachBlock(keys, plan.options().size, mine, [&](const KeyedRecords& some) {
    imported.without_key += some.without_key;
    imported.records += std::ssize(some.indices);
    if (some.indices.empty()) return;
    const auto past = std::ranges::find_if(some.keys, [&](auto key) { return key >= from.rows(); });
    if (past != some.keys.end()) {
      throw std::runtime_error(fmt::format(
          "{}: has {} rows, and record {} has the key {}: are they of this data?", path,
          from.rows(), some.indices[static_cast<std::size_t>(past - some.keys.begin())], *past));
    }
    const at::Tensor at_keys = at::tensor(some.keys, at::kLong);
    at::Tensor rows = table.Read(some.indices).to(at::kDouble);
    for (std::size_t c = 0; c < table.columns().size(); ++c) {
      const std::string& column = table.columns()[c];
      const std::string name = NameOf(column);
      if (!from.Has(name)) continue;
      at::Tensor values = from.At(name, at_keys);
      if (name.starts_with("u_")) {
        const std::string bound = "bound" + name.substr(1);
        const at::Tensor by = from.Has(bound) ? from.At(bound, at_keys) : at::zeros_like(values);
        RequireUsable(path, bound, by);
        if ((values < 0).any().item<bool>()) {
          throw std::runtime_error(fmt::format(
              "{}: {} has the value {}, and an estimator is 0 or more: are these logarithms?", path,
              name, values.min().item<double>()));
        }
        imported.not_finite += values.isfinite().logical_not().sum().item<std::int64_t>();
        values = LogU(values, by);
      } else {
        RequireUsable(path, name, values);
      }
      rows.select(1, static_cast<std::int64_t>(c)).copy_(values);
    }
    imported.never_seen +=
        Seen(rows.narrow(1, 0, 2)).all(1).logical_not().sum().item<std::int64_t>();
    table.Write(some.indices, rows.to(table.values().scalar_type()));
  });
  return imported;
}

std::vector<std::string> EstimatorNames(const std::vector<std::string>& columns) {
  std::vector<std::string> names;
  for (const std::string& column : columns) names.push_back(NameOf(column));
  if (HasColumn(columns, "tau_image") && !HasColumn(columns, "bound_image")) {
    names.insert(names.end(), {"bound_im", "bound_tt"});
  }
  return names;
}

at::Tensor EstimatorRows(const std::vector<std::string>& columns, const at::Tensor& rows) {
  const at::Tensor ours = rows.to(at::kDouble);
  const std::vector<std::string> names = EstimatorNames(columns);
  at::Tensor theirs = at::zeros({rows.size(0), std::ssize(names)}, at::kDouble);
  theirs.narrow(1, 0, ours.size(1)).copy_(ours);
  const auto column = [&](const std::string& name) {
    return theirs.select(1, std::ranges::find(names, name) - names.begin());
  };
  const bool own_temperatures = HasColumn(columns, "tau_image");
  for (const std::string side : {"_im", "_tt"}) {
    const at::Tensor log_u = column("u" + side).clone();
    at::Tensor bound = at::zeros_like(log_u);
    if (HasColumn(columns, "bound_image")) {
      bound = column("bound" + side);
    } else if (own_temperatures) {
      bound = log_u.clamp_min(0).nan_to_num(0, 0, 0);
      column("bound" + side).copy_(bound);
    }
    const at::Tensor u = (log_u - bound).exp();
    column("u" + side).copy_(at::where(Seen(log_u), u, at::zeros_like(u)));
  }
  return theirs;
}

std::int64_t ExportEstimators(const std::string& path, const RecordKeys* keys,
                              const SampleTable& table, std::int64_t records, double tau_init) {
  const std::vector<std::string> names = EstimatorNames(table.columns());
  const std::int64_t rows = keys != nullptr ? keys->largest() + 1 : records;
  const double bytes =
      static_cast<double>(rows) * static_cast<double>(names.size()) * sizeof(float);
  const auto memory = static_cast<double>(PhysicalMemory());
  if (bytes > memory) {
    throw std::runtime_error(
        fmt::format("{} tensors of {} rows are {:.1f} GB, and this machine has {:.1f} GB of "
                    "memory; the largest integer makes the rows",
                    names.size(), rows, 1e-9 * bytes, 1e-9 * memory));
  }
  NamedTensors tensors;
  for (const std::string& name : names) {
    tensors.emplace_back(name,
                         at::full({rows, 1}, name.starts_with("tau") ? tau_init : 0.0, at::kFloat));
  }
  std::int64_t infinite = 0;
  ForEachBlock(
      keys, records, [](std::int64_t) { return true; },
      [&](const KeyedRecords& some) {
        if (some.indices.empty()) return;
        const at::Tensor values =
            EstimatorRows(table.columns(), table.Read(some.indices)).to(at::kFloat);
        const at::Tensor at_keys = at::tensor(some.keys, at::kLong);
        for (std::size_t c = 0; c < names.size(); ++c) {
          const at::Tensor column = values.narrow(1, static_cast<std::int64_t>(c), 1);
          if (names[c].starts_with("u_")) infinite += column.isinf().sum().item<std::int64_t>();
          tensors[c].second.index_copy_(0, at_keys, column);
        }
      });
  WriteSafetensors(path, tensors);
  return infinite;
}

}  // namespace fastclip

#include "trainer/state/estimator_file.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <stdexcept>

#include "pipeline/base/printable.h"
#include "pipeline/files/system_memory.h"
#include "trainer/objective/estimator.h"
#include "trainer/state/safetensors.h"

namespace fastclip {
namespace {

constexpr std::int64_t kBlock = 1 << 16;  // records

/// "tau_image" → "tau_im": the published code's name of a column.
std::string NameOf(const std::string& column) {
  static const std::map<std::string, std::string> kNames = {
      {"log_u", "u"}, {"tau", "tau"}, {"m", "m_grad_tau"}, {"v", "v_grad_tau"}, {"bound", "bound"}};
  const std::size_t cut = column.rfind('_');
  return kNames.at(column.substr(0, cut)) + (column.substr(cut) == "_image" ? "_im" : "_tt");
}

bool HasColumn(const std::vector<std::string>& columns, const std::string& name) {
  return std::ranges::find(columns, name) != columns.end();
}

/// The records that have a key, with their keys.
struct KeyedRecords {
  std::vector<std::int64_t> indices, keys;
  std::int64_t without_key = 0;
};

/// Reads the keys of consecutive records at once.
KeyedRecords WithKeys(const RecordKeys* keys, std::span<const std::int64_t> indices) {
  std::vector<std::int64_t> found(indices.begin(), indices.end());
  if (keys != nullptr) {
    for (std::size_t i = 0, next = 0; i < indices.size(); i = next) {
      for (next = i + 1; next < indices.size() && indices[next] == indices[next - 1] + 1;) ++next;
      keys->Read(SampleIndex{indices[i]}, std::span(found).subspan(i, next - i));
    }
  }
  KeyedRecords some;
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (found[i] < 0) {
      ++some.without_key;
      continue;
    }
    some.indices.push_back(indices[i]);
    some.keys.push_back(found[i]);
  }
  return some;
}

/// The tensors of a file with one number per row, [rows] each.
class ReferenceState {
 public:
  explicit ReferenceState(const std::string& path) : path_(path), reader_(path) {
    for (std::size_t i = 0; i < reader_.entries().size(); ++i) {
      const SafetensorsEntry& entry = reader_.entries()[i];
      const bool one_a_row =
          !entry.shape.empty() && std::all_of(entry.shape.begin() + 1, entry.shape.end(),
                                              [](std::int64_t size) { return size == 1; });
      if (one_a_row && at::isFloatingType(entry.type)) tensors_.emplace(entry.name, i);
    }
    if (!Has("u_im") || !Has("u_tt")) {
      throw std::runtime_error(fmt::format(
          "{}: has no u_im and u_tt of shape [rows] or [rows, 1]; save them from the published "
          "code's checkpoint with safetensors.torch.save_file",
          path));
    }
    for (const char* side : {"_im", "_tt"}) {
      if (Has(std::string("bound") + side) || !Has(std::string("tau") + side)) continue;
      throw std::runtime_error(
          fmt::format("{}: has tau{} but no bound{} (u{} is stored divided by exp(bound{})); both "
                      "are in the published code's epoch_N_tau_rank_R.pt",
                      path, side, side, side, side));
    }
    rows_ = RowsIn(tensors_.at("u_im"));
  }

  bool Has(const std::string& name) const { return tensors_.contains(name); }
  std::int64_t rows() const { return rows_; }
  /// Of some rows, double.
  at::Tensor At(const std::string& name, std::span<const std::int64_t> rows) const {
    const std::size_t entry = tensors_.at(name);
    if (RowsIn(entry) != rows_) {
      throw std::runtime_error(fmt::format("{}: {} has {}, but u_im has {}", path_, name,
                                           Counted(RowsIn(entry), "row"), rows_));
    }
    return reader_.ReadRows(reader_.entries()[entry], rows).flatten().to(at::kDouble);
  }

 private:
  std::int64_t RowsIn(std::size_t entry) const { return reader_.entries()[entry].shape[0]; }

  std::string path_;
  SafetensorsReader reader_;
  std::map<std::string, std::size_t> tensors_;  // the entry of each
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
  throw std::runtime_error(fmt::format("{}: {} has the invalid value {}", path, name,
                                       values.masked_select(good.logical_not())[0].item<double>()));
}

}  // namespace

ImportedEstimators ImportEstimators(const std::string& path, const RecordKeys* keys,
                                    SampleTable& table) {
  const ReferenceState from(path);
  ImportedEstimators imported;
  for (const std::string& name : EstimatorNames(table.columns())) {
    if (from.Has(name)) imported.tensors.push_back(name);
  }
  table.ForEachRecord([&](std::span<const std::int64_t> indices) {
    const KeyedRecords some = WithKeys(keys, indices);
    imported.without_key += some.without_key;
    imported.records += std::ssize(some.indices);
    if (some.indices.empty()) return;
    std::size_t past = some.keys.size();  // the first record whose key has no row
    for (std::size_t i = 0; i < some.keys.size(); ++i) {
      if (some.keys[i] < from.rows()) continue;
      if (past == some.keys.size() || some.indices[i] < some.indices[past]) past = i;
    }
    if (past < some.keys.size()) {
      throw std::runtime_error(fmt::format(
          "{}: has {}, but record {} has the key {}; check that the file belongs to this data",
          path, Counted(from.rows(), "row"), some.indices[past], some.keys[past]));
    }
    at::Tensor rows = table.Read(some.indices).to(at::kDouble);
    for (std::size_t c = 0; c < table.columns().size(); ++c) {
      const std::string& column = table.columns()[c];
      const std::string name = NameOf(column);
      if (!from.Has(name)) continue;
      at::Tensor values = from.At(name, some.keys);
      if (name.starts_with("u_")) {
        const std::string bound = "bound" + name.substr(1);
        const at::Tensor by = from.Has(bound) ? from.At(bound, some.keys) : at::zeros_like(values);
        RequireUsable(path, bound, by);
        if ((values < 0).any().item<bool>()) {
          throw std::runtime_error(
              fmt::format("{}: {} has the value {}, but estimators must be >= 0; check that they "
                          "are not logarithms",
                          path, name, values.min().item<double>()));
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

void CheckEstimatorFile(const std::string& path, std::int64_t records) {
  const SafetensorsReader file(path);
  for (const char* name : {"u_im", "u_tt"}) {
    const auto entry = std::ranges::find(file.entries(), name, &SafetensorsEntry::name);
    const std::int64_t rows =
        entry == file.entries().end() || entry->shape.empty() ? 0 : entry->shape.front();
    if (rows == 0) {
      throw std::runtime_error(fmt::format(
          "{}: has no {} of shape [rows] or [rows, 1]; it is in the published code's checkpoint",
          path, name));
    }
    if (rows >= records) continue;
    throw std::runtime_error(
        fmt::format("{}: {} has {}, but the data has {}; check that the file belongs to this data",
                    path, name, Counted(rows, "row"), Counted(records, "record")));
  }
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
                              const std::vector<std::string>& columns, const RowsOfRecords& read,
                              std::int64_t records, double tau_init) {
  const std::vector<std::string> names = EstimatorNames(columns);
  const std::int64_t rows = keys != nullptr ? keys->largest() + 1 : records;
  const double bytes =
      static_cast<double>(rows) * static_cast<double>(names.size()) * sizeof(float);
  const auto memory = static_cast<double>(PhysicalMemory());
  if (bytes > memory) {
    throw std::runtime_error(fmt::format(
        "{} tensors with {} rows (the largest key + 1) need {:.1f} GB, but this machine has {:.1f} "
        "GB of memory",
        names.size(), rows, 1e-9 * bytes, 1e-9 * memory));
  }
  NamedTensors tensors;
  for (const std::string& name : names) {
    tensors.emplace_back(name,
                         at::full({rows, 1}, name.starts_with("tau") ? tau_init : 0.0, at::kFloat));
  }
  std::int64_t infinite = 0;
  for (std::int64_t first = 0; first < records; first += kBlock) {
    std::vector<std::int64_t> indices(static_cast<std::size_t>(std::min(kBlock, records - first)));
    std::iota(indices.begin(), indices.end(), first);
    const KeyedRecords some = WithKeys(keys, indices);
    if (some.indices.empty()) continue;
    const at::Tensor values = EstimatorRows(columns, read(some.indices)).to(at::kFloat);
    const at::Tensor at_keys = at::tensor(some.keys, at::kLong);
    for (std::size_t c = 0; c < names.size(); ++c) {
      const at::Tensor column = values.narrow(1, static_cast<std::int64_t>(c), 1);
      if (names[c].starts_with("u_")) infinite += column.isinf().sum().item<std::int64_t>();
      tensors[c].second.index_copy_(0, at_keys, column);
    }
  }
  WriteSafetensors(path, tensors);
  return infinite;
}

}  // namespace fastclip

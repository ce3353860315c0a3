#include "trainer/state/estimator_file.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "tests/support/error_of.h"
#include "tests/support/paths.h"
#include "trainer/state/safetensors.h"

namespace fastclip {
namespace {

constexpr double kUnseen = -std::numeric_limits<double>::infinity();
constexpr std::int64_t kRecords = 50;

using Columns = std::vector<std::string>;
const Columns kShared = {"log_u_image", "log_u_text"};
const Columns kOwn = {"log_u_image", "log_u_text", "tau_image", "tau_text",
                      "m_image",     "m_text",     "v_image",   "v_text"};
Columns Bounded() {
  Columns columns = kOwn;
  columns.insert(columns.end(), {"bound_image", "bound_text"});
  return columns;
}

OrderPlan Plan() { return OrderPlan({.size = kRecords, .batch_size = 8, .lanes = 4, .chunk = 3}); }

std::vector<std::int64_t> AllRecords() {
  std::vector<std::int64_t> all(kRecords);
  std::iota(all.begin(), all.end(), 0);
  return all;
}

SampleTable Fresh(const Columns& columns, LaneRange lanes = {0, 4}) {
  std::vector<double> initial(columns.size(), 0);
  initial[0] = initial[1] = kUnseen;
  if (columns.size() > 2) initial[2] = initial[3] = 0.07;
  return SampleTable(Plan(), lanes, columns, initial, at::kDouble);
}

/// A table of all lanes in which each record has values of its own, and record 3 was never seen.
SampleTable Filled(const Columns& columns) {
  SampleTable table = Fresh(columns);
  for (std::int64_t i = 0; i < kRecords; ++i) {
    const auto x = static_cast<double>(i);
    std::vector<double> row = {0.1 * x - 3, 1 - 0.2 * x, 0.02 + 0.001 * x, 0.9 - 0.01 * x,
                               0.5 - x,     x,           1e-4 * x,         2 * x,
                               0.01 * x,    0.02 * x};
    if (i == 3) row[0] = row[1] = kUnseen;
    row.resize(columns.size());
    const std::vector<std::int64_t> one = {i};
    table.Write(one, at::tensor(row, at::kDouble).view({1, -1}));
  }
  return table;
}

std::int64_t Export(const std::string& file, const SampleTable& table) {
  return ExportEstimators(
      file, nullptr, table.columns(),
      [&](std::span<const std::int64_t> indices) { return table.Read(indices); }, kRecords, 0.07);
}

/// Largest difference of all records, where both are finite; a large one where only one is.
double Difference(const SampleTable& a, const SampleTable& b) {
  const auto all = AllRecords();
  const auto flat = [](const at::Tensor& x) { return x.nan_to_num(1e9, 1e10, -1e10); };
  return (flat(a.Read(all)) - flat(b.Read(all))).abs().max().item<double>();
}

std::string Error(const std::string& file, const Columns& columns = kShared) {
  SampleTable table = Fresh(columns);
  return ErrorOf<std::runtime_error>([&] { ImportEstimators(file, nullptr, table); });
}

TEST(EstimatorFile, GivesBackWhatWasExported) {
  const TemporaryFolder folder;
  for (const Columns& columns : {kShared, kOwn, Bounded()}) {
    const SampleTable table = Filled(columns);
    EXPECT_EQ(Export(folder / "u", table), 0);
    SampleTable back = Fresh(columns);
    const auto imported = ImportEstimators(folder / "u", nullptr, back);
    EXPECT_EQ(imported.records, kRecords);
    EXPECT_EQ(imported.without_key, 0);
    EXPECT_LT(Difference(table, back), 1e-5) << columns.size();  // the file's float32
  }
}

TEST(EstimatorFile, HasThePublishedNamesShapesAndValues) {
  const TemporaryFolder folder;
  Export(folder / "u", Filled(Bounded()));
  std::map<std::string, at::Tensor> tensors;
  for (const auto& [name, tensor] : ReadSafetensors(folder / "u").tensors) tensors[name] = tensor;
  for (const char* name : {"u_im", "u_tt", "tau_im", "tau_tt", "m_grad_tau_im", "m_grad_tau_tt",
                           "v_grad_tau_im", "v_grad_tau_tt", "bound_im", "bound_tt"}) {
    ASSERT_TRUE(tensors.contains(name)) << name;
    EXPECT_EQ(tensors[name].sizes(), (std::vector<std::int64_t>{kRecords, 1}));
    EXPECT_EQ(tensors[name].scalar_type(), at::kFloat);
  }
  const auto at = [&](const char* name) { return tensors[name][10].item<double>(); };
  EXPECT_NEAR(at("u_im"), std::exp(0.1 * 10 - 3 - 0.01 * 10), 1e-6);
  EXPECT_NEAR(at("u_tt"), std::exp(1 - 0.2 * 10 - 0.02 * 10), 1e-6);
  EXPECT_NEAR(at("tau_im"), 0.03, 1e-6);
  EXPECT_NEAR(at("m_grad_tau_tt"), 10, 1e-6);
  EXPECT_NEAR(at("v_grad_tau_im"), 1e-3, 1e-8);
  EXPECT_EQ(tensors["u_im"][3].item<float>(), 0);
}

TEST(EstimatorFile, GivesEachRankItsLanes) {
  const TemporaryFolder folder;
  const SampleTable table = Filled(kShared);
  Export(folder / "u", table);
  std::int64_t records = 0;
  for (const LaneRange lanes : {LaneRange{0, 1}, LaneRange{1, 4}}) {
    SampleTable mine = Fresh(kShared, lanes);
    records += ImportEstimators(folder / "u", nullptr, mine).records;
    for (std::int64_t i = 0; i < kRecords; ++i) {
      const std::int64_t lane = Plan().PlaceOf(SampleIndex{i}).lane;
      if (lane < lanes.first || lane >= lanes.last || i == 3) continue;
      const std::vector<std::int64_t> one = {i};
      EXPECT_LT((mine.Read(one) - table.Read(one)).abs().max().item<double>(), 1e-6);
    }
  }
  EXPECT_EQ(records, kRecords);
}

TEST(EstimatorFile, ReadsEstimatorsAloneAndVectors) {
  const TemporaryFolder folder;
  const at::Tensor u = at::full({kRecords}, 2.0, at::kFloat);
  WriteSafetensors(folder / "u", {{"u_im", u}, {"u_tt", 3 * u}, {"weight", at::ones({2, 2})}});
  SampleTable table = Fresh(kOwn);
  const auto imported = ImportEstimators(folder / "u", nullptr, table);
  EXPECT_EQ(imported.tensors, (std::vector<std::string>{"u_im", "u_tt"}));
  const std::vector<std::int64_t> one = {7};
  const at::Tensor row = table.Read(one)[0];
  EXPECT_NEAR(row[0].item<double>(), std::log(2), 1e-7);
  EXPECT_NEAR(row[1].item<double>(), std::log(6), 1e-7);
  EXPECT_EQ(row[2].item<double>(), 0.07);
}

// A temperature a sample on one side, one for all on the other.
TEST(EstimatorFile, UndoesTheBoundForEveryObjective) {
  const TemporaryFolder folder;
  const SampleTable own = Filled(kOwn);
  Export(folder / "u", own);
  SampleTable shared = Fresh(kShared);
  ImportEstimators(folder / "u", nullptr, shared);
  const auto all = AllRecords();
  const at::Tensor expected = own.Read(all).narrow(1, 0, 2).nan_to_num(1e9, 1e10, -1e10);
  const at::Tensor found = shared.Read(all).nan_to_num(1e9, 1e10, -1e10);
  EXPECT_LT((expected - found).abs().max().item<double>(), 1e-5);
}

TEST(EstimatorFile, TakesBrokenEstimatorsForNeverSeen) {
  const TemporaryFolder folder;
  at::Tensor u = at::ones({kRecords, 1}, at::kFloat);
  u[0][0] = std::numeric_limits<double>::quiet_NaN();
  u[1][0] = std::numeric_limits<double>::infinity();
  u[2][0] = 0;
  u[3][0] = 1e-36;
  WriteSafetensors(folder / "u", {{"u_im", u}, {"u_tt", u}});
  SampleTable table = Fresh(kShared);
  const auto imported = ImportEstimators(folder / "u", nullptr, table);
  EXPECT_EQ(imported.never_seen, 4);
  EXPECT_EQ(imported.not_finite, 2 * 2);  // NaN and infinity, of both sides
  for (std::int64_t i = 0; i < 5; ++i) {
    const std::vector<std::int64_t> one = {i};
    EXPECT_EQ(table.Read(one)[0][0].item<double>(), i < 4 ? kUnseen : 0) << i;
  }
}

TEST(EstimatorFile, CountsWhatFloat32CannotHold) {
  const TemporaryFolder folder;
  SampleTable table = Filled(kShared);
  const std::vector<std::int64_t> one = {5};
  table.Write(one, at::tensor({100.0, 1.0}, at::kDouble).view({1, 2}));
  EXPECT_EQ(Export(folder / "u", table), 1);
}

TEST(EstimatorFile, RefusesWhatIsNoneOrOfOtherData) {
  const TemporaryFolder folder;
  const at::Tensor u = at::ones({kRecords, 1}, at::kFloat);
  WriteSafetensors(folder / "none", {{"u_im", u}});
  EXPECT_NE(Error(folder / "none").find("has no u_im and u_tt"), std::string::npos);
  WriteSafetensors(folder / "short", {{"u_im", u.narrow(0, 0, 20)}, {"u_tt", u.narrow(0, 0, 20)}});
  EXPECT_NE(Error(folder / "short").find("has 20 rows, but record 20 has the key 20"),
            std::string::npos);
  WriteSafetensors(folder / "unlike", {{"u_im", u}, {"u_tt", u.narrow(0, 0, 20)}});
  EXPECT_NE(Error(folder / "unlike").find("u_tt has 20 rows, but u_im has 50"), std::string::npos);
  WriteSafetensors(folder / "log", {{"u_im", -u}, {"u_tt", u}});
  EXPECT_NE(Error(folder / "log").find("u_im has the value -1, but estimators must be >= 0"),
            std::string::npos);
  WriteSafetensors(folder / "half", {{"u_im", u}, {"u_tt", u}, {"tau_im", u}});
  EXPECT_NE(Error(folder / "half").find("has tau_im but no bound_im"), std::string::npos);
  WriteSafetensors(folder / "tau",
                   {{"u_im", u}, {"u_tt", u}, {"tau_im", 7 * u}, {"bound_im", 0 * u}});
  EXPECT_NE(Error(folder / "tau", kOwn).find("tau_im has the invalid value 7"), std::string::npos);
}

}  // namespace
}  // namespace fastclip

#include "trainer/step/column_calibration.h"

#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include "tests/support/thread_communicator.h"
#include "tests/trainer/adapt/s2ft_golden.h"
#include "tests/trainer/step_rank.h"

namespace fastclip {
namespace {

constexpr const char* kObjective = "fastclip_v3";
using Statistics = std::map<std::string, ColumnStatistics>;

Statistics Measure(Rank& rank, Communicator& comm, std::int64_t parts) {
  ColumnCalibration calibration(rank.model, rank.step, comm, CalibrationNeed::kGradients, {});
  for (std::int64_t batch = 0; batch < 2; ++batch) {
    const Rank::Part rows = rank.Micro(batch, parts);
    calibration.Add(Rank::InputOf(rows, batch));
  }
  return calibration.Finish();
}

void ExpectSame(const Statistics& ours, const Statistics& theirs) {
  ASSERT_EQ(ours.size(), theirs.size());
  for (const auto& [site, of] : ours) {
    ExpectNear(of.activation, theirs.at(site).activation, 1e-12, "activation at " + site);
    ExpectNear(of.gradient, theirs.at(site).gradient, 1e-11, "gradient at " + site);
  }
}

TEST(ColumnCalibration, IsTheSameHoweverTheRowsAreCut) {
  const auto alone = WorldOfOne();
  Rank one(kObjective, {kLanes}, *alone);
  const Statistics whole = Measure(one, *alone, 1);
  EXPECT_EQ(whole.size(), 4);  // o and fc2 of a block of each tower
  Rank parts(kObjective, {kLanes}, *alone);
  ExpectSame(Measure(parts, *alone, 4), whole);
  for (const std::vector<std::int64_t>& cut :
       {std::vector<std::int64_t>{4, 4}, std::vector<std::int64_t>{5, 2, 1}}) {
    RunRanks(static_cast<int>(cut.size()), [&](Communicator& comm) {
      Rank rank(kObjective, cut, comm);
      ExpectSame(Measure(rank, comm, 1), whole);
    });
  }
}

TEST(ColumnCalibration, GradientsAreThoseOfTheLoss) {
  const auto comm = WorldOfOne();
  Rank rank(kObjective, {kLanes}, *comm);
  const Statistics ours = Measure(rank, *comm, 2);
  std::map<std::string, at::Tensor> expected;
  for (std::int64_t batch = 0; batch < 2; ++batch) {
    for (const auto& [name, tensor] : rank.model.trainable()) {
      tensor.mutable_grad() = at::Tensor();
    }
    const Rank::Part rows = rank.Micro(batch, 1);
    rank.step.Backward(Rank::InputOf(rows, batch));
    for (const auto& [site, of] : ours) {
      const at::Tensor squares = MapAt(rank.model, site).weight.grad().square().sum(0);
      at::Tensor& sum = expected[site];
      sum = sum.defined() ? sum + squares : squares;
    }
  }
  for (const auto& [site, of] : ours) ExpectNear(of.gradient, expected.at(site), 1e-11, site);
}

/// Adds up the squares of what enters a map.
class Spy final : public LinearTuner {
 public:
  std::vector<at::Tensor> parameters() const override { return {}; }
  at::Tensor Add(const at::Tensor& x, at::Tensor y) const override {
    const at::Tensor squares = x.reshape({-1, x.size(-1)}).detach().square().sum(0);
    sum = sum.defined() ? sum + squares : squares;
    return y;
  }
  mutable at::Tensor sum;
};

TEST(ColumnCalibration, ActivationsAreOfRealTokensAlone) {
  const auto comm = WorldOfOne();
  Rank rank(kObjective, {kLanes}, *comm);
  const Statistics ours = Measure(rank, *comm, 1);
  std::map<std::string, std::shared_ptr<const Spy>> spies;
  for (const auto& [site, of] : ours) {
    const auto spy = std::make_shared<Spy>();
    MapAt(rank.model, site).tuners.push_back(spy);
    spies[site] = spy;
  }
  const at::NoGradGuard no_grad;
  for (std::int64_t batch = 0; batch < 2; ++batch) {
    const Rank::Part rows = rank.Micro(batch, 1);
    const MicroBatch& micro = rows.micro.front();
    for (std::int64_t row = 0; row < kRows; ++row) {
      const at::Tensor end = micro.pool.narrow(0, row, 1);
      rank.model.EncodeImage(micro.images.narrow(0, row, 1));
      rank.model.EncodeText(
          micro.tokens.narrow(0, row, 1).narrow(1, 0, end.item<std::int64_t>() + 1), end);
    }
  }
  for (const auto& [site, of] : ours) ExpectNear(of.activation, spies.at(site)->sum, 1e-12, site);
}

TEST(ColumnCalibration, ChangesNothing) {
  const auto comm = WorldOfOne();
  Rank rank(kObjective, {kLanes}, *comm);
  const at::Tensor weights = rank.Weights(), state = rank.table.values().clone();
  Measure(rank, *comm, 2);
  EXPECT_TRUE(at::equal(rank.Weights(), weights));
  EXPECT_TRUE(at::allclose(rank.table.values(), state, 0, 0, /*equal_nan=*/true));
  for (const auto& [name, tensor] : rank.model.trainable()) {
    EXPECT_TRUE(tensor.requires_grad()) << name;
    EXPECT_FALSE(tensor.grad().defined()) << name;
  }
  EXPECT_TRUE(MapAt(rank.model, "text.block.0.o").tuners.empty());

  Rank resnet(kObjective, {kLanes}, *comm, 0, "fp64", ThinResNet());
  std::vector<at::Tensor> before;
  for (const auto& [name, buffer] : resnet.model.buffers()) before.push_back(buffer.clone());
  EXPECT_EQ(Measure(resnet, *comm, 2).size(), 2);
  for (std::size_t i = 0; i < before.size(); ++i) {
    EXPECT_TRUE(at::equal(resnet.model.buffers()[i].second, before[i]))
        << resnet.model.buffers()[i].first;
  }
}

}  // namespace
}  // namespace fastclip

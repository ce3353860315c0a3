#include "trainer/eval/validation_loss.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

namespace fastclip {
namespace {

at::Tensor RandomRows(std::int64_t rows) {
  const at::Tensor all = at::randn(
      {rows, 6}, at::detail::createCPUGenerator(static_cast<std::uint64_t>(rows)), at::kDouble);
  return all / all.norm(2, 1, /*keepdim=*/true);
}

/// Of one batch, by the textbook's softmax.
double Softmax(const at::Tensor& image, const at::Tensor& text, double scale) {
  const at::Tensor z = image.mm(text.t()) * scale;
  return -0.5 *
         (z.softmax(1).diagonal().log().sum() + z.softmax(0).diagonal().log().sum()).item<double>();
}

TEST(ValidationLoss, IsTheMeanOverBatchesOfEachImageWithItsFirstCaption) {
  EncodedSet set;
  set.features = {RandomRows(5), RandomRows(7)};
  set.caption_row = {3, 0, 0, 4, 1, 3, 1};  // image 2 has none
  const double t = 2, scale = std::exp(t);
  const at::Tensor image = set.features.image.index_select(0, at::tensor({0, 1, 3, 4}, at::kLong));
  const at::Tensor text = set.features.text.index_select(0, at::tensor({1, 4, 0, 3}, at::kLong));
  EXPECT_NEAR(ValidationLoss(set, t, 100), Softmax(image, text, scale) / 4, 1e-12);
  const double parts = Softmax(image.slice(0, 0, 3), text.slice(0, 0, 3), scale) +
                       Softmax(image.slice(0, 3, 4), text.slice(0, 3, 4), scale);
  EXPECT_NEAR(ValidationLoss(set, t, 3), parts / 4, 1e-12);
}

TEST(ValidationLoss, OfACollapsedModelIsTheLogarithmOfTheBatch) {
  EncodedSet set;
  set.features = {at::ones({8, 3}, at::kDouble), at::ones({8, 3}, at::kDouble)};
  set.caption_row = {0, 1, 2, 3, 4, 5, 6, 7};
  EXPECT_NEAR(ValidationLoss(set, 3, 4), std::log(4.0), 1e-12);
}

TEST(ValidationLoss, OfASetWithoutPairsIsNotANumber) {
  EncodedSet set;
  set.features = {RandomRows(2), at::empty({0, 6}, at::kDouble)};
  EXPECT_TRUE(std::isnan(ValidationLoss(set, 1, 4)));
}

}  // namespace
}  // namespace fastclip

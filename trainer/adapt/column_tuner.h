#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "trainer/model/linear.h"
#include "trainer/model/tuner.h"

namespace fastclip {

/// S²FT at one map (https://arxiv.org/abs/2412.06289): k columns of its weight train.
///
/// They are a leaf P of their own, so that optimizers, sums over ranks and files treat them as any
/// parameter. The map's weight has a copy in its columns, which is written before each use. One
/// product computes the map; for the backward pass only k columns of x are kept.
class ColumnTuner final : public LinearTuner {
 public:
  /// `columns` [out, k] is P, with the values that the weight has at `index` [k] int64, ascending.
  /// If not `chosen`, the index stands for as many others: they must be chosen before the first
  /// pass.
  ColumnTuner(at::Tensor columns, at::Tensor index, bool chosen = true);

  std::vector<at::Tensor> parameters() const override { return {columns_}; }
  bool replaces_map() const override { return true; }
  at::Tensor Map(const Linear& of, const at::Tensor& x) const override;
  void WriteTo(const Linear& of) const override;
  void TakeFrom(const Linear& of) const override;

  /// Trains the columns at `index` [k] from now on, and starts anew from the base.
  void MoveTo(const Linear& of, const at::Tensor& index) const;

  const at::Tensor& columns() const { return columns_; }
  const at::Tensor& index() const { return index_; }
  /// [out, k]: P before training.
  const at::Tensor& start() const { return start_; }

 private:
  at::Tensor columns_, index_, start_;
  mutable bool chosen_;
};

}  // namespace fastclip

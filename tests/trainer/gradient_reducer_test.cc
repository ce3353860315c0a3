#include "trainer/step/gradient_reducer.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/utils/lambda_post_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "tests/trainer/step_rank.h"
#include "trainer/step/towers.h"

namespace fastclip {
namespace {

namespace autograd = torch::autograd;

/// One of two ranks; the other adds nothing. Notes the bytes of gradients whose sum was started.
class NotingRank final : public Communicator {
 public:
  int rank() const override { return 0; }
  int world_size() const override { return 2; }
  at::Tensor AllGather(const at::Tensor& rows, std::span<const std::int64_t>) override {
    return rows;
  }
  void AllReduceSum(at::Tensor&) override {}
  at::Tensor ReduceScatterSum(const at::Tensor& values) override { return values; }
  std::unique_ptr<Pending> StartAllReduceSum(at::Tensor values) override {
    started += static_cast<std::int64_t>(values.nbytes());
    return std::make_unique<Done>();
  }
  void Broadcast(at::Tensor&, int) override {}
  void Barrier() override {}

  std::int64_t started = 0;

 private:
  struct Done final : Pending {
    void Wait() override {}
  };
};

/// Backward passes of a small model, each gradient noted when it is complete.
class Reduction {
 public:
  static constexpr std::int64_t kBucket = 512;

  explicit Reduction(const LockOptions& lock)
      : model_(Deep(), 1, 0.07, at::kFloat, lock),
        order_(Towers::BackwardOrder(model_.described())),
        reducer_(order_, comm_, {.first_bucket = kBucket / 4, .other_buckets = kBucket}),
        towers_(model_, std::nullopt) {
    for (const auto& [name, parameter] : order_) {
      largest_ = std::max(largest_, static_cast<std::int64_t>(parameter.nbytes()));
      total_ += static_cast<std::int64_t>(parameter.nbytes());
      auto node = autograd::impl::grad_accumulator(parameter);
      const auto bytes = static_cast<std::int64_t>(parameter.nbytes());
      // After the reducer's own hook.
      node->add_post_hook(std::make_unique<autograd::utils::LambdaPostHook>(
          [this, bytes](const autograd::variable_list& outputs, const autograd::variable_list&) {
            complete_ += bytes;
            waiting_.push_back(complete_ - comm_.started);
            return outputs;
          }));
      nodes_.push_back(std::move(node));
    }
  }

  /// Bytes that were complete and not started, after each gradient.
  const std::vector<std::int64_t>& Run() {
    const std::vector<MicroBatch> micro = {{at::rand({4, 3, 16, 16}),
                                            at::randint(0, 30, {4, 8}, at::kLong),
                                            at::full({4}, 7, at::kLong)}};
    GradientReducer::Pass pass = reducer_.Begin();
    const PerSide<at::Tensor> features = towers_.Forward(micro);
    towers_.Backward(micro, {at::ones_like(features.image), at::ones_like(features.text)},
                     [&] { pass.BeginLast(); });
    before_end_ = comm_.started;
    pass.Add(at::zeros({}));
    std::move(pass).Finish();
    return waiting_;
  }
  std::int64_t largest() const { return largest_; }
  std::int64_t total() const { return total_; }
  std::int64_t before_end() const { return before_end_; }
  std::int64_t started() const { return comm_.started; }

 private:
  static ModelConfig Deep() {
    ModelConfig config = ThinModel("fastclip_v3");
    config.vision.layers = config.text.layers = 4;
    return config;
  }

  NotingRank comm_;
  ClipModel model_;
  NamedTensors order_;
  GradientReducer reducer_;
  Towers towers_;
  std::vector<c10::intrusive_ptr<autograd::Node>> nodes_;
  std::vector<std::int64_t> waiting_;
  std::int64_t largest_ = 0, total_ = 0, complete_ = 0, before_end_ = 0;
};

// Else the sums would wait for the end of the pass.
TEST(GradientReducer, StartsTheSumOfABucketOnceItsGradientsAreComplete) {
  LockOptions image, part;
  image.image = true;
  part.image = part.text = true;
  part.image_unlocked_groups = 2;
  part.text_unlocked_layers = 2;
  for (const LockOptions& lock : {LockOptions(), image, part}) {
    Reduction reduction(lock);
    const std::vector<std::int64_t>& waiting = reduction.Run();
    EXPECT_EQ(reduction.started(), reduction.total());
    EXPECT_EQ(reduction.before_end(), reduction.total()) << "all before the pass ends";
    // A bucket, and those gradients of a block that are complete before an earlier one of it.
    const std::int64_t bucket = Reduction::kBucket + reduction.largest();
    EXPECT_LE(*std::ranges::max_element(waiting), bucket) << reduction.total();
    EXPECT_GT(reduction.total(), 2 * bucket) << "the model is too small to show it";
  }
}

// The embeddings of a tower are read first, so their gradients come last.
TEST(Towers, KnowTheOrderInWhichGradientsBecomeComplete) {
  for (const ModelConfig& config : {ThinModel("fastclip_v3"), ThinResNet()}) {
    const ClipModel model(config, 1, 0.07, at::kFloat);
    const NamedTensors order = Towers::BackwardOrder(model.described());
    std::vector<std::string> text;
    for (const auto& [name, parameter] : order) {
      if (!name.starts_with("visual.")) text.push_back(name);
    }
    EXPECT_EQ(text.front(), "text_projection");
    const std::vector<std::string> last(text.end() - 2, text.end());
    EXPECT_NE(std::ranges::find(last, "token_embedding.weight"), last.end()) << last[0];
    EXPECT_NE(std::ranges::find(last, "positional_embedding"), last.end()) << last[1];
    EXPECT_EQ(order.front().first, "text_projection") << "the text tower's backward runs first";
  }
}

}  // namespace
}  // namespace fastclip

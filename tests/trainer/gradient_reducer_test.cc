#include "trainer/step/gradient_reducer.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/utils/lambda_post_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
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
    sums.push_back(static_cast<std::int64_t>(values.nbytes()));
    started += sums.back();
    return std::make_unique<Done>();
  }
  void Broadcast(at::Tensor&, int) override {}
  void Barrier() override {}

  std::vector<std::int64_t> sums;  ///< bytes of each
  std::int64_t started = 0;

 private:
  struct Done final : Pending {
    void Wait() override {}
  };
};

/// A backward pass of a small model, each gradient noted when it is complete.
class Reduction {
 public:
  static constexpr std::int64_t kBucket = 8192;
  enum class Order { kOfBackward, kEmbeddingThird };

  /// Bytes of a tower's gradients, when one of them is complete.
  struct Moment {
    std::int64_t complete = 0;
    std::int64_t started = 0;  // their sum was
    std::size_t sums = 0;      // of all gradients
  };
  struct OfTower {
    const char* name;
    std::int64_t total = 0;
    std::vector<Moment> moments{};
  };

  explicit Reduction(const LockOptions& lock, Order order = Order::kOfBackward)
      : model_(Deep(), 1, 0.07, at::kFloat, lock),
        order_(OrderOf(model_, order)),
        reducer_(order_, comm_, {.first_bucket = kBucket / 4, .other_buckets = kBucket}),
        towers_(model_, std::nullopt) {
    for (const auto& [name, parameter] : order_) {
      const auto bytes = static_cast<std::int64_t>(parameter.nbytes());
      OfTower& tower = name.starts_with("visual.") ? image : text;
      tower.total += bytes;
      auto node = autograd::impl::grad_accumulator(parameter);
      // After the reducer's own hook.
      node->add_post_hook(std::make_unique<autograd::utils::LambdaPostHook>(
          [this, bytes, &tower](const autograd::variable_list& outputs,
                                const autograd::variable_list&) {
            Note(tower, bytes);
            return outputs;
          }));
      nodes_.push_back(std::move(node));
    }
    Run();
  }
  Reduction(const Reduction&) = delete;
  Reduction& operator=(const Reduction&) = delete;

  /// When `share` of the tower's gradients are complete.
  static const Moment& At(const OfTower& tower, double share) {
    return *std::ranges::find_if(tower.moments, [&](const Moment& moment) {
      return static_cast<double>(moment.complete) >= share * static_cast<double>(tower.total);
    });
  }
  /// Bytes of the bucket that fills then: gradients that wait for others of it.
  std::int64_t FillingAt(const Moment& moment) const {
    return moment.sums < comm_.sums.size() ? std::max(kBucket, comm_.sums[moment.sums]) : 0;
  }
  std::int64_t largest_bucket() const {
    return std::max(kBucket, *std::ranges::max_element(comm_.sums));
  }
  std::int64_t started() const { return comm_.started; }
  std::int64_t before_end() const { return before_end_; }

  OfTower text{.name = "text"}, image{.name = "image"};  // in the order of their backward

 private:
  static ModelConfig Deep() {
    ModelConfig config = ThinModel("fastclip_v3");
    config.vision.patch_size = 4;
    config.vision.width = config.text.width = 32;
    config.vision.layers = config.text.layers = 6;
    return config;
  }
  static NamedTensors OrderOf(const ClipModel& model, Order wanted) {
    NamedTensors order = Towers::BackwardOrder(model.described());
    if (wanted == Order::kOfBackward) return order;
    const auto embedding = std::ranges::find(order, "token_embedding.weight",
                                             [](const auto& named) { return named.first; });
    std::rotate(order.begin() + 2, embedding, embedding + 1);
    return order;
  }
  void Note(OfTower& tower, std::int64_t bytes) {
    const std::int64_t complete = tower.moments.empty() ? 0 : tower.moments.back().complete;
    const std::int64_t before = &tower == &text ? 0 : text.total;
    tower.moments.push_back({complete + bytes,
                             std::clamp<std::int64_t>(comm_.started - before, 0, tower.total),
                             comm_.sums.size()});
  }
  void Run() {
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
  }

  NotingRank comm_;
  ClipModel model_;
  NamedTensors order_;
  GradientReducer reducer_;
  Towers towers_;
  std::vector<c10::intrusive_ptr<autograd::Node>> nodes_;
  std::int64_t before_end_ = 0;
};

// Else the sums would wait for the end of the pass.
TEST(GradientReducer, StartsTheSumOfABucketOnceItsGradientsAreComplete) {
  const LockOptions image{.image = true}, text{.text = true},
      parts{.image = true, .image_unlocked_groups = 4, .text = true, .text_unlocked_layers = 4};
  for (const LockOptions& lock : {LockOptions(), image, text, parts}) {
    const Reduction reduction(lock);
    EXPECT_EQ(reduction.started(), reduction.text.total + reduction.image.total);
    EXPECT_EQ(reduction.before_end(), reduction.started()) << "all before the pass ends";
    for (const Reduction::OfTower* tower : {&reduction.text, &reduction.image}) {
      if (tower->total == 0) continue;
      EXPECT_GT(tower->total, 4 * reduction.largest_bucket()) << "too small to show it";
      for (const double share : {0.25, 0.5, 0.75}) {
        const Reduction::Moment& now = Reduction::At(*tower, share);
        EXPECT_GE(now.started, now.complete - reduction.FillingAt(now)) << tower->name << share;
      }
      std::printf("%s tower, %ld bytes, %% started at each tenth:", tower->name,
                  static_cast<long>(tower->total));
      for (int tenth = 1; tenth <= 10; ++tenth) {
        std::printf(" %ld", static_cast<long>(100 * Reduction::At(*tower, tenth / 10.0).started /
                                              tower->total));
      }
      std::printf("\n");
    }
  }
}

// A gradient that comes last holds up all that stand behind it: so the test above can fail.
TEST(GradientReducer, StartsNoSumBeforeThoseInFrontOfIt) {
  const Reduction reduction(LockOptions(), Reduction::Order::kEmbeddingThird);
  for (const double share : {0.25, 0.5, 0.75}) {
    const Reduction::Moment& now = Reduction::At(reduction.text, share);
    EXPECT_LT(now.started, now.complete - reduction.FillingAt(now)) << share;
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

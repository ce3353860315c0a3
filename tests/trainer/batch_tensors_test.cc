#include "trainer/step/batch_tensors.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <optional>
#include <stdexcept>
#include <vector>

#include "pipeline/loader/batch_loader.h"
#include "tests/support/fake_source.h"

namespace fastclip {
namespace {

TEST(ImageTensor, NormalisesWithoutMovingPixels) {
  const std::int64_t rows = 2, size = 5;
  std::vector<std::uint8_t> pixels(rows * size * size * 3);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(i * 37);
  const at::Tensor images = ImageTensor(pixels, rows, size, {.dtype = at::kDouble});
  EXPECT_EQ(images.sizes(), (std::vector<std::int64_t>{rows, 3, size, size}));
  EXPECT_TRUE(images.is_contiguous(at::MemoryFormat::ChannelsLast));
  const double mean[] = {0.48145466, 0.4578275, 0.40821073},
               deviation[] = {0.26862954, 0.26130258, 0.27577711};
  for (std::int64_t b = 0; b < rows; ++b) {
    for (std::int64_t c = 0; c < 3; ++c) {
      for (std::int64_t y = 0; y < size; ++y) {
        for (std::int64_t x = 0; x < size; ++x) {
          const double byte = pixels[((b * size + y) * size + x) * 3 + c];
          ASSERT_NEAR(images[b][c][y][x].item<double>(), (byte / 255 - mean[c]) / deviation[c],
                      1e-14);
        }
      }
    }
  }
}

TEST(CaptionsOf, CutsToTheLongestRoundedUpToEight) {
  const std::int64_t context = 20;
  std::vector<TokenId> tokens(3 * context);
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<TokenId>(i);
  const auto columns = [&](std::vector<std::int64_t> pool, bool trim) {
    const CaptionTensors text = CaptionsOf(tokens, pool, context, {.trim_text = trim});
    EXPECT_EQ(text.tokens.scalar_type(), at::kLong);
    EXPECT_TRUE(text.tokens.is_contiguous());
    EXPECT_EQ(text.tokens[2][1].item<std::int64_t>(), 2 * context + 1);
    EXPECT_EQ(text.pool[0].item<std::int64_t>(), pool[0]);
    pool[0] = -1;  // the tensor is a copy
    EXPECT_NE(text.pool[0].item<std::int64_t>(), -1);
    return text.tokens.size(1);
  };
  EXPECT_EQ(columns({3, 1, 7}, true), 8);
  EXPECT_EQ(columns({3, 8, 7}, true), 16);
  EXPECT_EQ(columns({16, 8, 7}, true), 20);
  EXPECT_EQ(columns({19, 8, 7}, true), 20);
  EXPECT_EQ(columns({3, 1, 7}, false), 20);
}

TEST(CaptionsOf, GroupsCaptionsByLengthInTheirOrder) {
  const std::int64_t context = 20;
  const std::vector<TokenId> tokens(6 * context, 1);
  const std::vector<std::int64_t> pool = {12, 3, 19, 7, 8, 1};
  const auto made = [&](const TensorTarget& target) {
    return CaptionsOf(tokens, pool, context, target);
  };
  const CaptionTensors text = made({.length_groups = 3});
  const std::vector<std::int64_t> order = {1, 3, 5, 0, 4, 2}, places = {3, 0, 5, 1, 4, 2};
  ASSERT_EQ(text.groups.groups.size(), 3u);
  const std::int64_t expected[][2] = {{3, 8}, {2, 16}, {1, 20}};
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(text.groups.groups[i].sequences, expected[i][0]);
    EXPECT_EQ(text.groups.groups[i].length, expected[i][1]);
  }
  EXPECT_TRUE(at::equal(text.groups.order, at::tensor(order, at::kLong)));
  EXPECT_TRUE(at::equal(text.groups.places, at::tensor(places, at::kLong)));
  EXPECT_TRUE(at::equal(text.pool, at::tensor(pool, at::kLong)));
  EXPECT_EQ(text.tokens.size(1), 20);
  // 3 · 8 + 3 · 20 tokens are fewer than 5 · 16 + 1 · 20.
  EXPECT_EQ(made({.length_groups = 2}).groups.groups.front().length, 8);
  EXPECT_TRUE(made({.length_groups = 1}).groups.groups.empty());
  EXPECT_TRUE(made({.trim_text = false, .length_groups = 3}).groups.groups.empty());
}

TEST(ImageTensor, OfPlanesHasTheSamePixels) {
  const std::vector<std::uint8_t> pixels = [] {
    std::vector<std::uint8_t> bytes(2 * 4 * 4 * 3);
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i * 37);
    return bytes;
  }();
  const at::Tensor last = ImageTensor(pixels, 2, 4, {}),
                   planes = ImageTensor(pixels, 2, 4, {.channels_last = false});
  EXPECT_TRUE(last.is_contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_TRUE(planes.is_contiguous());
  EXPECT_TRUE(at::equal(last, planes));
}

TEST(KeptPatches, AreAFunctionOfSeedEpochAndSample) {
  const std::vector<std::int64_t> indices = {5, 900, 7, 5};
  const PatchDropout half{.share = 0.5, .patches = 49, .seed = 3};
  const at::Tensor kept = KeptPatches(indices, 2, half);
  EXPECT_EQ(kept.sizes(), (std::vector<std::int64_t>{4, 24}));  // ⌊49 · 0.5⌋
  EXPECT_TRUE(at::equal(kept[0], kept[3]));
  EXPECT_FALSE(at::equal(kept[0], kept[2]));
  EXPECT_TRUE(
      at::equal(kept.narrow(0, 1, 2), KeptPatches(std::span(indices).subspan(1, 2), 2, half)));
  EXPECT_FALSE(at::equal(kept, KeptPatches(indices, 3, half)));
  EXPECT_FALSE(at::equal(kept, KeptPatches(indices, 2, {.share = 0.5, .patches = 49, .seed = 4})));
  EXPECT_TRUE(kept.diff(1, 1).gt(0).all().item<bool>()) << "ascending, none twice";
  EXPECT_GE(kept.min().item<std::int64_t>(), 0);
  EXPECT_LT(kept.max().item<std::int64_t>(), 49);
  // As OpenCLIP's max(1, int(n * (1 - p))).
  EXPECT_EQ(KeptPatches(indices, 0, {.share = 0.999, .patches = 49}).size(1), 1);
  EXPECT_EQ(KeptPatches(indices, 0, {.share = 0.75, .patches = 196}).size(1), 49);
  EXPECT_FALSE(KeptPatches(indices, 0, {.share = 0, .patches = 49}).defined());
}

TEST(KeptPatches, AreKeptEquallyOften) {
  std::vector<std::int64_t> indices(10'000);
  for (std::size_t i = 0; i < indices.size(); ++i) indices[i] = static_cast<std::int64_t>(i);
  const at::Tensor counts =
      KeptPatches(indices, 1, {.share = 0.75, .patches = 16, .seed = 1}).view(-1).bincount();
  ASSERT_EQ(counts.numel(), 16);
  // 2500 expected, ±5 standard deviations of √(10000 · ¼ · ¾) = 43.
  EXPECT_GT(counts.min().item<std::int64_t>(), 2500 - 217);
  EXPECT_LT(counts.max().item<std::int64_t>(), 2500 + 217);
}

TEST(MicroBatchesOf, KeepsEveryRowInItsPlace) {
  const FakeSource source(64);
  const ByteTokenizer tokenizer;
  const OrderPlan plan({.size = 64, .batch_size = 8, .lanes = 2});
  LoaderOptions options;
  options.image_size = 8;
  options.context_length = 40;
  BatchLoader loader(source, plan, {0, 2}, 0, 1, tokenizer, options);
  const std::optional<Batch> batch = loader.Next();
  ASSERT_TRUE(batch);
  const TensorTarget whole{.trim_text = false};
  const PatchDropout half{.share = 0.5, .patches = 16, .seed = 1};
  EXPECT_FALSE(MicroBatchesOf(*batch, 1, whole).front().kept_patches.defined());
  std::vector<at::Tensor> kept;
  for (const MicroBatch& part : MicroBatchesOf(*batch, 3, whole, half)) {
    EXPECT_EQ(part.kept_patches.size(0), part.images.size(0));
    kept.push_back(part.kept_patches);
  }
  EXPECT_TRUE(at::equal(at::cat(kept), KeptPatches(batch->indices(), batch->epoch(), half)));
  const MicroBatch all = MicroBatchesOf(*batch, 1, whole).front();
  const std::vector<MicroBatch> parts = MicroBatchesOf(*batch, 3, whole);
  std::vector<at::Tensor> images, tokens, pool;
  for (const MicroBatch& part : parts) {
    images.push_back(part.images);
    tokens.push_back(part.tokens);
    pool.push_back(part.pool);
  }
  EXPECT_TRUE(at::equal(at::cat(images), all.images));
  EXPECT_TRUE(at::equal(at::cat(tokens), all.tokens));
  EXPECT_TRUE(at::equal(at::cat(pool), all.pool));
  // Each end token stands where pool says, trimmed or not.
  for (const MicroBatch& part : MicroBatchesOf(*batch, 3, {})) {
    EXPECT_LE(part.tokens.size(1), 40);
    EXPECT_TRUE(part.tokens.gather(1, part.pool.unsqueeze(1)).eq(257).all().item<bool>());
  }
  EXPECT_THROW(MicroBatchesOf(*batch, 9, whole), std::invalid_argument);
}

}  // namespace
}  // namespace fastclip

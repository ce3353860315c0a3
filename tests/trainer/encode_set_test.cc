#include "trainer/eval/encode_set.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <vector>

#include "tests/support/fake_source.h"
#include "tests/trainer/small_model.h"
#include "trainer/eval/retrieval.h"

namespace fastclip {
namespace {

ModelConfig Small() { return SmallModel(/*context_length=*/20); }

// Record i has 1 + i % 3 captions; 2 cannot be decoded, 4 has no caption, 6 and 7 no image.
FakeSource EightRecords() {
  FakeSource source(8);
  source.damaged[2] = true;
  source.bad = {{4, Skip::kNoCaption}, {6, Skip::kNoImage}, {7, Skip::kNoImage}};
  return source;
}

EncodedSet Encode(const ClipModel& model, const RecordSource& source, std::int64_t first,
                  std::int64_t last, int batch_size) {
  EncodeOptions options;
  options.batch_size = batch_size;
  options.target.dtype = at::kDouble;
  return EncodeSet(model, source, SampleIndex{first}, SampleIndex{last}, ByteTokenizer(), options);
}

TEST(EncodeSet, KeepsEveryCaptionWithItsPictureForAnyBatchSize) {
  const ClipModel model(Small(), 7, 0.07, at::kDouble);
  const FakeSource source = EightRecords();
  const EncodedSet whole = Encode(model, source, 0, source.size(), 8);
  EXPECT_EQ(whole.features.image.sizes(), (std::vector<std::int64_t>{4, 12}));
  EXPECT_EQ(whole.features.text.sizes(), (std::vector<std::int64_t>{7, 12}));
  EXPECT_EQ(whole.caption_row, (std::vector<std::int64_t>{0, 1, 1, 2, 3, 3, 3}));
  EXPECT_FALSE(whole.features.image.requires_grad());
  EXPECT_EQ(whole.skips[Skip::kNoCaption], 1);
  EXPECT_EQ(whole.skips[Skip::kNoImage], 2);
  EXPECT_EQ(whole.skips.total(), 4);
  for (const int batch_size : {1, 2, 3, 5}) {
    const EncodedSet parts = Encode(model, source, 0, source.size(), batch_size);
    EXPECT_TRUE(at::allclose(parts.features.image, whole.features.image, 0, 1e-12)) << batch_size;
    EXPECT_TRUE(at::allclose(parts.features.text, whole.features.text, 0, 1e-12)) << batch_size;
    EXPECT_EQ(parts.caption_row, whole.caption_row) << batch_size;
    EXPECT_EQ(parts.skips, whole.skips) << batch_size;
  }
}

TEST(EncodeSet, GivesTheSameFeaturesInRanges) {
  const ClipModel model(Small(), 7, 0.07, at::kDouble);
  const FakeSource source = EightRecords();
  const EncodedSet whole = Encode(model, source, 0, source.size(), 8);
  const EncodedSet first = Encode(model, source, 0, 3, 2), second = Encode(model, source, 3, 8, 2);
  EXPECT_TRUE(at::allclose(at::cat({first.features.image, second.features.image}),
                           whole.features.image, 0, 1e-12));
  EXPECT_EQ(second.caption_row, (std::vector<std::int64_t>{0, 1, 1, 1}));
}

TEST(EncodeSet, OfNothingUsableIsEmpty) {
  const ClipModel model(Small(), 7, 0.07, at::kDouble);
  const FakeSource source = EightRecords();
  const EncodedSet set = Encode(model, source, 6, 8, 2);
  EXPECT_EQ(set.features.image.size(0), 0);
  EXPECT_EQ(set.skips[Skip::kNoImage], 2);
  EXPECT_THROW(ComputeRetrieval(set.features.image, set.features.text, set.caption_row),
               std::runtime_error);
}

}  // namespace
}  // namespace fastclip

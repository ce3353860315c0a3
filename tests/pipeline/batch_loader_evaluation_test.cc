#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "pipeline/loader/batch_loader.h"
#include "pipeline/pixels/resize.h"
#include "tests/pipeline/loader_fixture.h"

namespace fastclip {
namespace {

TEST(BatchLoaderForEvaluation, KeepsTheOrderAndAllCaptions) {
  const FakeSource source(50);
  const ByteTokenizer tokenizer;
  BatchLoader loader(source, SampleIndex{4}, SampleIndex{50}, 20, tokenizer, Options());
  std::int64_t next = 4;
  for (const int rows : {20, 20, 6}) {
    const auto batch = loader.Next();
    ASSERT_EQ(batch->rows(), rows);
    int caption = 0;
    for (int row = 0; row < rows; ++row, ++next) {
      EXPECT_EQ(batch->indices()[row], next);
      EXPECT_EQ(batch->labels()[row], next % 10);
      const RecordBlock block = source.Read(SampleIndex{next}, 1, {});
      for (const Caption& text : block.records[0].captions) {
        std::vector<TokenId> tokens(kContext);
        EXPECT_EQ(batch->pool()[caption], EncodeContext(tokenizer, text.text, tokens));
        EXPECT_TRUE(
            std::ranges::equal(tokens, batch->tokens().subspan(caption * kContext, kContext)));
        EXPECT_EQ(batch->caption_row()[caption], row);
        ++caption;
      }
      std::vector<std::uint8_t> pixels(kSide * kSide * 3);
      ResizeCenterCrop(std::get<Image>(DecodeImage(block.records[0].image)), kSide, pixels);
      EXPECT_TRUE(
          std::ranges::equal(pixels, batch->pixels().subspan(row * pixels.size(), pixels.size())));
    }
    EXPECT_EQ(batch->captions(), caption);
  }
  EXPECT_FALSE(loader.Next().has_value());
}

TEST(BatchLoaderForEvaluation, LeavesBadRecordsOutAndCountsThem) {
  FakeSource source = DirtySource(100);
  for (std::int64_t i = 32; i < 48; ++i) source.bad[i] = Skip::kTooLarge;
  source.captions_of = [](std::int64_t) { return 2; };
  const ByteTokenizer tokenizer;
  const FakeSource clean(100);
  BatchLoader loader(source, SampleIndex{0}, SampleIndex{100}, 16, tokenizer, Options());
  std::int64_t next = 0;
  SkipCounts skips{};
  for (int number = 0; const auto batch = loader.Next(); ++number) {
    EXPECT_EQ(batch->step(), number);
    if (number == 2) {
      EXPECT_EQ(batch->rows(), 0);
    }
    EXPECT_EQ(batch->captions(), 2 * batch->rows());
    for (int row = 0; row < batch->rows(); ++row) {
      while (source.bad.contains(next) || source.damaged.contains(next)) ++next;
      EXPECT_EQ(batch->indices()[row], next);
      const RecordBlock block = clean.Read(SampleIndex{next}, 1, {});
      std::vector<std::uint8_t> pixels(kSide * kSide * 3);
      ResizeCenterCrop(std::get<Image>(DecodeImage(block.records[0].image)), kSide, pixels);
      EXPECT_TRUE(
          std::ranges::equal(pixels, batch->pixels().subspan(row * pixels.size(), pixels.size())));
      ++next;
    }
    skips += batch->skips();
  }
  SkipCounts expected{};
  for (const auto& [i, cause] : source.bad) ++expected[cause];
  for (const auto& [i, damaged] : source.damaged) {
    expected[Skip::kTruncated] += !source.bad.contains(i);
  }
  EXPECT_EQ(skips, expected);
}

TEST(BatchLoaderForEvaluation, KeepsPicturesThatHaveALabelInPlaceOfCaptions) {
  FakeSource source(10);
  source.captions_of = [](std::int64_t) { return 0; };
  source.bad[3] = Skip::kNoLabel;
  const ByteTokenizer tokenizer;
  BatchLoader loader(source, SampleIndex{0}, SampleIndex{10}, 10, tokenizer, Options());
  const auto batch = loader.Next();
  ASSERT_TRUE(batch.has_value());
  EXPECT_EQ(batch->rows(), 9);
  EXPECT_EQ(batch->captions(), 0);
  EXPECT_EQ(batch->labels()[3], 4);
  EXPECT_EQ(batch->skips()[Skip::kNoLabel], 1);
}

}  // namespace
}  // namespace fastclip

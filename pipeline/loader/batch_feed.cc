#include "pipeline/loader/batch_feed.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <span>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <variant>

#include "pipeline/pixels/augment.h"
#include "pipeline/pixels/picture_rows.h"

namespace fastclip {
namespace {

using Clock = std::chrono::steady_clock;

int CheckedRows(std::int64_t rows) {
  if (rows < 1 || rows > kMaxBatchRows) {
    throw std::invalid_argument(
        fmt::format("a batch has {} rows on one rank; it must have 1 to {}", rows, kMaxBatchRows));
  }
  return static_cast<int>(rows);
}

/// A thread keeps its decoder's memory from picture to picture, but no more than this.
constexpr std::size_t kKeptBytes = std::size_t{8} << 20;

/// What both feeds share: a picture and a caption made with the loader's options.
class RowMaker {
 public:
  RowMaker(const Tokenizer& tokenizer, PictureRows pictures, const LoaderOptions& options,
           const LoaderRuntime& runtime)
      : tokenizer_(tokenizer),
        pictures_(std::move(pictures)),
        image_size_(options.image_size),
        context_length_(options.context_length),
        before_stage_(runtime.before_stage) {}

  int image_size() const { return image_size_; }
  int context_length() const { return context_length_; }

  std::optional<Skip> MakePicture(const Record& record, const PictureKey& key,
                                  std::span<std::uint8_t> out, StageCounters& counters) const {
    thread_local PicturePart part;
    const auto start = Clock::now();
    BeginStage(LoaderStage::kDecode);
    const auto cause = pictures_.Decode(record.image, key, part);
    if (!cause) {
      counters.decode.Add(start, record.image.size());
      const auto decoded = Clock::now();
      BeginStage(LoaderStage::kResize);
      pictures_.Write(part, key, out);
      counters.resize.Add(decoded, out.size());
    }
    if (part.image.pixels.capacity() > kKeptBytes) part = {};
    return cause;
  }

  /// Returns the pooling position.
  int Tokenize(std::string_view text, std::span<TokenId> out, StageCounters& counters) const {
    const auto start = Clock::now();
    BeginStage(LoaderStage::kTokenize);
    const int pool = EncodeContext(tokenizer_, text, out);
    counters.tokenize.Add(start, text.size());
    return pool;
  }

 private:
  void BeginStage(LoaderStage stage) const {
    if (before_stage_) before_stage_(stage);
  }

  const Tokenizer& tokenizer_;
  const PictureRows pictures_;
  const int image_size_;
  const int context_length_;
  const std::function<void(LoaderStage)> before_stage_;
};

class TrainingFeed final : public BatchFeed {
 public:
  TrainingFeed(const OrderPlan& plan, LaneRange lanes, std::int64_t first_step,
               std::int64_t last_step, const Tokenizer& tokenizer, const LoaderOptions& options,
               const LoaderRuntime& runtime)
      : plan_(plan),
        first_row_(lanes.first * plan.rows_per_lane()),
        rows_(CheckedRows((lanes.last - lanes.first) * plan.rows_per_lane())),
        first_step_(first_step),
        last_step_(last_step),
        classes_(options.classes),
        maker_(tokenizer,
               PictureRows::ForTraining(options.augment, TrainingDecodeOptions(options),
                                        options.image_size),
               options, runtime) {}

  std::int64_t batches() const override {
    return std::max<std::int64_t>(0, last_step_ - first_step_);
  }
  int rows(std::int64_t) const override { return rows_; }
  bool substitutes() const override { return true; }

  void Open(std::int64_t batch, Batch::Storage& storage) const override {
    const std::int64_t step = first_step_ + batch;
    storage.Shape(step, plan_.EpochOf(step), rows_, maker_.image_size(), maker_.context_length());
  }

  std::optional<RowPlan> Plan(std::int64_t batch, int row, std::int64_t attempt) const override {
    return plan_.Row(first_step_ + batch, first_row_ + row, attempt);
  }

  std::optional<RecordRange> Ahead(std::int64_t batch, int row) const override {
    return plan_.Ahead(first_step_ + batch, first_row_ + row);
  }
  /// The window that is being used, and the next one.
  std::int64_t records_ahead() const override {
    return 2 * plan_.window_records() * (rows_ / plan_.rows_per_lane());
  }

  // One task does picture and caption: a batch has rows enough to keep all threads busy, and a
  // caption costs a hundredth of its picture.
  std::optional<Skip> Write(const Record& record, const RowPlan& plan, int row,
                            Batch::Storage& storage, StageCounters& counters) const override {
    if (const auto lack = LackOf(record)) return lack;
    const std::uint64_t seed = plan_.options().seed;
    const PictureKey key{.seed = seed, .epoch = plan.epoch, .index = plan.index};
    const auto cause = maker_.MakePicture(record, key, storage.PixelsOf(row), counters);
    if (cause) return cause;

    const auto tokens = std::span<TokenId>(storage.tokens)
                            .subspan(static_cast<std::size_t>(row) * storage.context_length,
                                     storage.context_length);
    if (classes_ > 0) {
      std::ranges::fill(tokens, TokenId{0});
      storage.pool[row] = 0;
    } else {
      const int caption = ChooseCaption(record.captions, seed, plan.epoch, plan.index);
      storage.pool[row] = maker_.Tokenize(record.captions[caption].text, tokens, counters);
    }
    storage.indices[row] = ToInt(plan.index);
    storage.labels[row] = record.label;
    return std::nullopt;
  }

  void LeaveOut(int, Skip, Batch::Storage&) const override {}
  void Close(Batch::Storage&) const override {}

 private:
  std::optional<Skip> LackOf(const Record& record) const {
    if (classes_ == 0) {
      return record.captions.empty() ? std::optional(Skip::kNoCaption) : std::nullopt;
    }
    if (record.label < 0) return Skip::kNoLabel;
    return record.label < classes_ ? std::nullopt : std::optional(Skip::kBadLabel);
  }

  const OrderPlan plan_;
  const std::int64_t first_row_;
  const int rows_;
  const std::int64_t first_step_;
  const std::int64_t last_step_;
  const std::int64_t classes_;  // 0: rows have captions
  const RowMaker maker_;
};

class EvaluationFeed final : public BatchFeed {
 public:
  EvaluationFeed(SampleIndex first, SampleIndex last, int batch_size, const Tokenizer& tokenizer,
                 const LoaderOptions& options, const LoaderRuntime& runtime)
      : first_(ToInt(first)),
        records_(std::max<std::int64_t>(0, ToInt(last) - ToInt(first))),
        batch_size_(CheckedRows(batch_size)),
        maker_(tokenizer, PictureRows::ForEvaluation(options.decode, options.image_size), options,
               runtime) {}

  std::int64_t batches() const override { return (records_ + batch_size_ - 1) / batch_size_; }
  int rows(std::int64_t batch) const override {
    return static_cast<int>(std::min<std::int64_t>(batch_size_, records_ - batch * batch_size_));
  }
  bool substitutes() const override { return false; }

  void Open(std::int64_t batch, Batch::Storage& storage) const override {
    storage.Shape(batch, 0, rows(batch), maker_.image_size(), maker_.context_length());
    storage.found.assign(rows(batch), {});
  }

  std::optional<RowPlan> Plan(std::int64_t batch, int row, std::int64_t) const override {
    return RowPlan{.index = SampleIndex{first_ + batch * batch_size_ + row}, .epoch = 0};
  }

  // Records in order: the kernel sees by itself what comes next.
  std::optional<RecordRange> Ahead(std::int64_t, int) const override { return std::nullopt; }
  std::int64_t records_ahead() const override { return 0; }

  std::optional<Skip> Write(const Record& record, const RowPlan& plan, int row,
                            Batch::Storage& storage, StageCounters& counters) const override {
    const auto cause =
        maker_.MakePicture(record, {.index = plan.index}, storage.PixelsOf(row), counters);
    if (cause) return cause;

    Batch::Storage::FoundRow& found = storage.found[row];
    const auto context = static_cast<std::size_t>(storage.context_length);
    found.tokens.resize(record.captions.size() * context);
    for (std::size_t i = 0; i < record.captions.size(); ++i) {
      const auto tokens = std::span(found.tokens).subspan(i * context, context);
      found.pool.push_back(maker_.Tokenize(record.captions[i].text, tokens, counters));
    }
    storage.indices[row] = ToInt(plan.index);
    storage.labels[row] = record.label;
    return std::nullopt;
  }

  void LeaveOut(int row, Skip cause, Batch::Storage& storage) const override {
    storage.found[row].skip = cause;
  }

  /// Moves the rows that were found together and puts their captions behind each other.
  void Close(Batch::Storage& storage) const override {
    storage.tokens.clear();
    storage.pool.clear();
    storage.caption_row.clear();
    int kept = 0;
    for (int row = 0; row < static_cast<int>(storage.found.size()); ++row) {
      const Batch::Storage::FoundRow& found = storage.found[row];
      if (found.skip) continue;
      if (kept != row) {
        std::ranges::copy(storage.PixelsOf(row), storage.PixelsOf(kept).begin());
        storage.indices[kept] = storage.indices[row];
        storage.labels[kept] = storage.labels[row];
      }
      storage.tokens.insert(storage.tokens.end(), found.tokens.begin(), found.tokens.end());
      storage.pool.insert(storage.pool.end(), found.pool.begin(), found.pool.end());
      storage.caption_row.insert(storage.caption_row.end(), found.pool.size(), kept);
      ++kept;
    }
    storage.pixels.resize(kept * storage.PixelsOf(0).size());
    storage.indices.resize(kept);
    storage.labels.resize(kept);
  }

 private:
  const std::int64_t first_;
  const std::int64_t records_;
  const int batch_size_;
  const RowMaker maker_;
};

}  // namespace

std::unique_ptr<BatchFeed> MakeTrainingFeed(const OrderPlan& plan, LaneRange lanes,
                                            std::int64_t first_step, std::int64_t last_step,
                                            const Tokenizer& tokenizer,
                                            const LoaderOptions& options,
                                            const LoaderRuntime& runtime) {
  return std::make_unique<TrainingFeed>(plan, lanes, first_step, last_step, tokenizer, options,
                                        runtime);
}

std::unique_ptr<BatchFeed> MakeEvaluationFeed(SampleIndex first, SampleIndex last, int batch_size,
                                              const Tokenizer& tokenizer,
                                              const LoaderOptions& options,
                                              const LoaderRuntime& runtime) {
  return std::make_unique<EvaluationFeed>(first, last, batch_size, tokenizer, options, runtime);
}

}  // namespace fastclip

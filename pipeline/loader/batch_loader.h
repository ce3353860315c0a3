#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>

#include "pipeline/loader/batch.h"
#include "pipeline/loader/loader_options.h"
#include "pipeline/loader/loader_runtime.h"
#include "pipeline/loader/loader_stats.h"
#include "pipeline/order/order_plan.h"
#include "pipeline/records/record_source.h"
#include "tokenizer/tokenizer.h"

namespace fastclip {

/// Loads the steps [first_step, last_step) of the lanes of one rank, in order, on its own threads:
/// the constructor starts them, the destructor stops them. `source` and `tokenizer` must outlive
/// it.
class BatchLoader {
 public:
  /// Training: OrderPlan's rows, random crop, one caption, substitutes for bad records.
  BatchLoader(const RecordSource& source, const OrderPlan& plan, LaneRange lanes,
              std::int64_t first_step, std::int64_t last_step, const Tokenizer& tokenizer,
              const LoaderOptions& options, const LoaderRuntime& runtime = {});
  /// Evaluation: records [first, last) in order, batch_size per batch (the last can be smaller),
  /// centre crop, all captions, no substitutes: a bad record is left out and counted.
  /// SourceOptions::labels decides whether an image needs a caption or a label.
  BatchLoader(const RecordSource& source, SampleIndex first, SampleIndex last, int batch_size,
              const Tokenizer& tokenizer, const LoaderOptions& options,
              const LoaderRuntime& runtime = {});
  ~BatchLoader();

  /// The next batch, or nothing after the last. Rethrows the error that stopped the loader, on
  /// every call; the batches before it are returned first. Also returns nothing if `give_up` is
  /// requested before the batch is ready; a later call waits for it again. Call it from one thread.
  std::optional<Batch> Next(const std::stop_token& give_up = {});
  /// Whether the next `count` calls of Next() would each return a batch at once. False if one would
  /// throw, and if fewer are left.
  bool HasNext(int count = 1) const;
  LoaderStats stats() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fastclip

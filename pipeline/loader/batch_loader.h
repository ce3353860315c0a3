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

/// The steps [first_step, last_step) of the lanes of one rank, in order, made by threads of its
/// own: the constructor starts them, the destructor stops them. `source` and `tokenizer` are shared
/// and must outlive it.
class BatchLoader {
 public:
  /// Training: OrderPlan's rows, random crop, one caption, substitutes for bad records.
  BatchLoader(const RecordSource& source, const OrderPlan& plan, LaneRange lanes,
              std::int64_t first_step, std::int64_t last_step, const Tokenizer& tokenizer,
              const LoaderOptions& options, const LoaderRuntime& runtime = {});
  /// Evaluation: records [first, last) in order, batch_size a batch and a short last one, centre
  /// crop, all captions, no substitutes: a bad record is left out and counted. Whether a picture
  /// needs a caption or a label is the source's to say (SourceOptions::labels).
  BatchLoader(const RecordSource& source, SampleIndex first, SampleIndex last, int batch_size,
              const Tokenizer& tokenizer, const LoaderOptions& options,
              const LoaderRuntime& runtime = {});
  ~BatchLoader();

  /// The next batch, or nothing after the last. Rethrows the error that stopped the loader, on
  /// every call; the batches before it still come. Nothing, too, where `give_up` is asked for
  /// before the batch is there; a later call waits for it again. For one thread.
  std::optional<Batch> Next(const std::stop_token& give_up = {});
  /// Whether Next() would give a batch at once. False where it would throw, and after the last.
  bool HasNext() const;
  LoaderStats stats() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fastclip

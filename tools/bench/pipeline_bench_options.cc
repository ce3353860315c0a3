#include "tools/bench/pipeline_bench_options.h"

#include "pipeline/loader/compute_pool.h"
#include "tools/cli/cli.h"
#include "tools/cli/usage_error.h"

namespace fastclip {

bool ParsePipelineBench(int argc, const char* const* argv, PipelineBenchOptions& o) {
  CLI::App app(
      "Training batches made from shards as fast as the machine can, and in the same run, in "
      "slices\n"
      "of 3 seconds that take turns, on the same records: decoding alone (whole pictures), and "
      "the\n"
      "bare kernels (decode, crop, resize of the very same boxes). The ratios say what the "
      "pipeline\n"
      "around them costs. Memory is the peak above the process's start.",
      "fastclip bench pipeline");
  app.add_option("--shards", o.list, "shards (braces, globs, ::), a table, or synthetic:N")
      ->required();
  app.add_option("--size", o.loader.image_size, "side of the training crop, pixels")
      ->check(CLI::Range(1, kMaxImageSize))
      ->capture_default_str();
  app.add_option("--threads", o.loader.threads, "threads that decode")
      ->check(CLI::Range(1, kMostThreads))
      ->capture_default_str();
  app.add_option("--io-threads", o.loader.io_threads, "threads that read")
      ->check(CLI::Range(1, kMostThreads))
      ->capture_default_str();
  app.add_option("--memory", o.loader.memory_bytes,
                 "bytes, as pipeline.memory of a run; 0: by rule")
      ->capture_default_str();
  app.add_option("--batch", o.order.batch_size, "rows of a batch")
      ->check(CLI::Range(1, kMaxBatchRows))
      ->capture_default_str();
  app.add_option("--seconds", o.seconds, "measure for about this long")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  app.add_option("--tokenizer", o.tokenizer, "clip, clip:VOCABULARY or sentencepiece:MODEL")
      ->check(WrongTokenizer)
      ->capture_default_str();
  PictureOptions pictures;
  pictures.AddTo(app);
  TableOptions table;
  table.AddTo(app);
  AddPixelsTo(app, o.loader.fast_pixels);
  app.add_flag("--json", o.json, "one JSON object");
  app.footer("example: fastclip bench pipeline --shards 'cc3m/{00000..00031}.tar' --threads 8");
  if (!ParseArguments(app, argc, argv)) return false;
  pictures.Apply(o.source, o.loader.decode);
  o.source.table = table.Parsed();
  return true;
}

}  // namespace fastclip

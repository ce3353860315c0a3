#include "tools/bench/pipeline_bench_options.h"

#include "pipeline/loader/compute_pool.h"
#include "tools/cli/cli.h"
#include "tools/cli/usage_error.h"

namespace fastclip {

bool ParsePipelineBench(int argc, const char* const* argv, PipelineBenchOptions& o) {
  CLI::App app(
      "Measures the samples/s of the data pipeline, from shards to training batches.\n"
      "Two baselines run on the same records, in alternating slices of 3 seconds: decoding alone\n"
      "(whole images) and the kernels alone (decode, crop and resize of the same boxes). The\n"
      "ratios show the overhead of the pipeline. Memory is the peak above the start of the\n"
      "process.",
      "fastclip bench pipeline");
  app.add_option("--shards", o.list, kListHelp)->required();
  app.add_option("--size", o.loader.image_size, kCropHelp)
      ->check(Between(1, kMaxImageSize))
      ->capture_default_str();
  app.add_option("--threads", o.loader.threads, kThreadsHelp)
      ->check(Between(1, kMostThreads))
      ->capture_default_str();
  app.add_option("--io-threads", o.loader.io_threads, "threads that read files")
      ->check(Between(1, kMostThreads))
      ->capture_default_str();
  app.add_option("--memory", o.loader.memory_bytes,
                 "memory of the loader, as in 512MiB (" + std::string(kSizeHelp) +
                     "); 0: automatic (pipeline.memory)")
      ->transform(AsBytes())
      ->type_name("SIZE")
      ->capture_default_str();
  app.add_option("--batch", o.order.batch_size, "samples per batch")
      ->check(Between(1, kMaxBatchRows))
      ->capture_default_str();
  app.add_option("--seconds", o.seconds, "approximate seconds to measure")
      ->check(NumberBetween(0, 1e6))
      ->capture_default_str();
  app.add_option("--tokenizer", o.tokenizer, kTokenizerHelp)
      ->check(WrongTokenizer)
      ->capture_default_str();
  PictureOptions pictures;
  pictures.AddTo(app);
  TableOptions table;
  table.AddTo(app);
  AddPixelsTo(app, o.loader.fast_pixels);
  app.add_flag("--json", o.json, kJsonHelp);
  app.footer(
      "example: fastclip bench pipeline --shards 'build/quickstart/train/*.tar' --size 64 "
      "--threads 8");
  if (!ParseArguments(app, argc, argv)) return false;
  pictures.Apply(o.source, o.loader.decode);
  o.source.table = table.Parsed();
  return true;
}

}  // namespace fastclip

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "pipeline/base/printable.h"
#include "pipeline/sources/record_sample.h"
#include "pipeline/sources/sample_advice.h"
#include "tools/eval/eval_report.h"
#include "tools/eval/eval_subject.h"
#include "trainer/eval/retrieval.h"
#include "trainer/eval/validation_loss.h"

namespace fastclip {
namespace {

struct Options : EvalOptions {
  CaptionOptions captions;
};

/// An encoded set and how its captions were read.
struct ReadSet {
  EncodedSet encoded;
  CaptionLines lines = CaptionLines::kSplit;
  std::int64_t of_several_lines = 0;  // .txt files that `lines` applies to
};

struct Figures {
  RetrievalMetrics retrieval;
  double loss = 0;  // ValidationLoss
};

void PrintTable(const EvalSubject& subject, const Options& options, const ReadSet& set,
                const Figures& figures) {
  const RetrievalMetrics& metrics = figures.retrieval;
  PrintSubject(subject);
  fmt::print("data      {}: {}, {}", options.shards, Counted(metrics.images, "image"),
             Counted(metrics.captions, "caption"));
  if (set.of_several_lines > 0) fmt::print(" ({})", DescribeLines(set.lines));
  fmt::print("{}\n\n{:<16}{:>8}{:>8}{:>8}{:>12}{:>13}\n",
             SkippedNote(DescribeSkips(set.encoded.skips)), "", "R@1", "R@5", "R@10", "mean rank",
             "median rank");
  const auto line = [](const char* name, const RetrievalDirection& direction) {
    fmt::print("{:<16}{:>8.4f}{:>8.4f}{:>8.4f}{:>12.1f}{:>13.0f}\n", name, direction.recall_1,
               direction.recall_5, direction.recall_10, direction.mean_rank, direction.median_rank);
  };
  line("image to text", metrics.image_to_text);
  line("text to image", metrics.text_to_image);
  const auto images = static_cast<double>(metrics.images);
  fmt::print("{:<16}{:>8.4f}{:>8.4f}{:>8.4f}   (text to image)\n", "chance",
             std::min(1.0, 1 / images), std::min(1.0, 5 / images), std::min(1.0, 10 / images));
  fmt::print("\nvalidation loss {:.4f} (in batches of {}; chance {:.4f})\ntook {:.1f} s\n",
             figures.loss, std::min(metrics.images, subject.loss_batch()),
             std::log(std::min(images, static_cast<double>(subject.loss_batch()))),
             subject.Seconds());
}

nlohmann::ordered_json ToJson(const EvalSubject& subject, const Options& options,
                              const ReadSet& set, const Figures& figures) {
  const RetrievalMetrics& metrics = figures.retrieval;
  nlohmann::ordered_json json;
  for (const auto& [name, value] : NamedRetrieval(metrics)) json[name] = value;
  json["clip_val_loss"] = figures.loss;
  json["clip_val_loss_batch"] = subject.loss_batch();
  json["num_samples"] = metrics.images;
  json["num_captions"] = metrics.captions;
  if (set.of_several_lines > 0) {
    json["texts_of_several_lines"] = set.of_several_lines;
    json["caption_lines"] = set.lines == CaptionLines::kSplit ? "split" : "whole";
  }
  json["left_out"] = NamedSkips(set.encoded.skips);
  AddSubject(json, subject, options.shards);
  return json;
}

}  // namespace

/// `fastclip eval retrieval`: image-to-text and text-to-image retrieval.
int RunEvalRetrieval(int argc, const char* const* argv) {
  Options options;
  CLI::App app("Evaluates image-to-text and text-to-image retrieval: R@1, R@5, R@10 and ranks.",
               "fastclip eval retrieval");
  AddEvalOptions(
      app, options,
      "tar shards with braces and globs ('cc3m-val/{00..15}.tar'), a table of image "
      "paths and captions (.tsv, .csv, .jsonl, also .gz), a .txt that lists any of these, "
      "or synthetic:N; several are joined with '::'");
  options.captions.AddTo(app);
  app.footer(
      "example: fastclip eval retrieval runs/quickstart --shards 'build/quickstart/heldout/*.tar' "
      "--json");
  if (!ParseArguments(app, argc, argv)) return 0;

  const EvalSubject subject(options);
  SourceOptions source_options = subject.source_options();
  source_options.captions = options.captions.Parsed();
  source_options.caption_lines = options.captions.LinesOr(source_options.caption_lines);
  const auto source = subject.Open(options.shards, source_options);
  if (const std::string lack =
          DescribeLack(SampleRecords(*source), options.shards, source_options, "--captions");
      !lack.empty()) {
    throw std::runtime_error(lack);
  }
  const std::int64_t sampled = source->texts_of_several_lines();
  const auto model = subject.Load();
  const std::int64_t size = source->size();
  ReadSet set{.encoded = EncodeSet(*model, *source, SampleIndex{0}, SampleIndex{size},
                                   subject.tokenizer(), subject.Encode("records", size)),
              .lines = source_options.caption_lines,
              .of_several_lines = -sampled};
  set.of_several_lines += source->texts_of_several_lines();
  const PerSide<at::Tensor>& features = set.encoded.features;
  const Figures figures{
      .retrieval = ComputeRetrieval(features.image, features.text, set.encoded.caption_row),
      .loss =
          ValidationLoss(set.encoded, model->logit_scale().item<double>(), subject.loss_batch())};
  if (options.json) {
    PrintJson(ToJson(subject, options, set, figures));
  } else {
    PrintTable(subject, options, set, figures);
  }
  return 0;
}

}  // namespace fastclip

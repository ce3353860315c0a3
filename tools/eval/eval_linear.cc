#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>

#include "pipeline/base/printable.h"
#include "pipeline/files/system_memory.h"
#include "pipeline/sources/open_source.h"
#include "tools/eval/eval_report.h"
#include "tools/eval/eval_subject.h"
#include "trainer/eval/class_prompts.h"
#include "trainer/eval/linear_probe.h"
#include "trainer/eval/zero_shot.h"

namespace fastclip {
namespace {

/// Larger labels are not class labels but other numbers.
constexpr std::int64_t kMaxClasses = 32'768;

struct Options : EvalOptions {
  std::string train;
  std::string classes;
  std::string label_key;
  std::optional<double> l2;
};

struct Probe {
  std::int64_t train_images = 0;
  SkipCounts train_skips{};
  L2Search search;
  LinearFit fit;
};

/// All training features are in memory at once, with 4 or 8 bytes per value.
void CheckFits(std::int64_t records, std::int64_t width, std::int64_t bytes_each) {
  const double need = static_cast<double>(records) * static_cast<double>(width * bytes_each);
  const auto have = static_cast<double>(PhysicalMemory());
  if (need <= have / 2) return;
  throw std::runtime_error(
      fmt::format("the features of {} training images need {:.1f} GiB, more than half of this "
                  "machine's {:.1f} GiB; set --train to fewer shards",
                  records, need / (1 << 30), have / (1 << 30)));
}

std::int64_t ClassesOf(const EncodedSet& set, const std::string& list) {
  if (set.labels.empty()) {
    throw std::runtime_error(
        fmt::format("{}: no usable images: {}", list, DescribeSkips(set.skips)));
  }
  const auto largest = std::ranges::max_element(set.labels);
  if (*largest >= kMaxClasses) {
    throw std::runtime_error(fmt::format(
        "{}: record {} has label {}, but labels must be less than {}; set --label-key to the field "
        "with the class",
        list, set.indices[static_cast<std::size_t>(largest - set.labels.begin())], *largest,
        kMaxClasses));
  }
  if (*largest == 0) {
    throw std::runtime_error(list + ": all images have label 0; at least two classes are needed");
  }
  return *largest + 1;
}

Probe Train(const EvalSubject& subject, const ClipModel& model, const Options& options,
            const RecordSource& source) {
  const std::int64_t size = source.size();
  const EncodedSet set = EncodeSet(model, source, SampleIndex{0}, SampleIndex{size},
                                   subject.tokenizer(), subject.Encode("training images", size));
  const std::int64_t classes = ClassesOf(set, options.train);
  CheckFeatures(set.features.image, "images");
  Probe probe;
  probe.train_images = static_cast<std::int64_t>(set.labels.size());
  probe.train_skips = set.skips;
  if (options.l2) {
    probe.search.l2 = *options.l2;
  } else {
    const auto show = subject.Progress("fits to choose l2", kMostFits);
    probe.search = ChooseL2(set.features.image, set.labels, set.indices, classes, [&](int done) {
      if (show) show(done);
    });
    if (show) show(kMostFits);
  }
  probe.fit = FitLinear(set.features.image, set.labels, classes, probe.search.l2);
  return probe;
}

void PrintTable(const EvalSubject& subject, const Options& options, const Probe& probe,
                const ClassNames& names, const ClassHits& hits, const ClassMetrics& metrics) {
  PrintSubject(subject);
  fmt::print("train     {}: {}, {} classes{}\n", options.train,
             Counted(probe.train_images, "image"), hits.classes(),
             SkippedNote(DescribeSkips(probe.train_skips)));
  fmt::print("data      {}: {}{}\n", options.shards, Counted(metrics.images, "image"),
             SkippedNote(DescribeLeftOut(hits, names)));
  fmt::print("fit       l2 {:.1e}{}; loss {:.4f} after {}, gradient {:.0e}\n", probe.search.l2,
             options.l2 ? std::string(" (given)")
                        : fmt::format(" (top-1 {:.4f} on the held-out fifth)",
                                      probe.search.held_out_top_1),
             probe.fit.loss, Counted(probe.fit.evaluations, "evaluation"), probe.fit.gradient);
  PrintClassTable("linear probe", metrics, hits.classes());
  fmt::print("\ntook {:.1f} s\n", subject.Seconds());
}

nlohmann::ordered_json ToJson(const EvalSubject& subject, const Options& options,
                              const Probe& probe, const ClassNames& names, const ClassHits& hits,
                              const ClassMetrics& metrics) {
  nlohmann::ordered_json json;
  for (const auto& [name, value] : NamedClassMetrics(metrics, "linear_")) json[name] = value;
  json["num_samples"] = metrics.images;
  json["num_classes"] = hits.classes();
  json["left_out"] = NamedLeftOut(hits, names);
  json["num_train_samples"] = probe.train_images;
  json["train_left_out"] = NamedSkips(probe.train_skips);
  json["l2"] = probe.search.l2;
  if (!options.l2) json["held_out_top1"] = probe.search.held_out_top_1;
  json["loss"] = probe.fit.loss;
  json["gradient"] = probe.fit.gradient;
  json["evaluations"] = probe.fit.evaluations;
  json["train"] = options.train;
  AddSubject(json, subject, options.shards);
  return json;
}

}  // namespace

/// `fastclip eval linear`: a linear classifier on frozen image features.
int RunEvalLinear(int argc, const char* const* argv) {
  Options options;
  CLI::App app(
      "Evaluates a linear probe: top-1, top-5 and mean per-class recall.\n"
      "The probe is a logistic regression on frozen, normalized image features, trained with\n"
      "L-BFGS on --train and evaluated on --shards. The features of --train must fit in half of\n"
      "the machine's memory: 4 bytes times the embedding width per image.",
      "fastclip eval linear");
  AddEvalOptions(app, options);
  app.add_option("--train", options.train, "labeled images to train on: a list like --shards")
      ->required();
  app.add_option(
      "--classes", options.classes,
      "file with one class name per line, label 0 first, or 'imagenet', for labels that are "
      "names; default: the folder names, if --train is a folder of classes");
  AddLabelKey(app, options.label_key);
  app.add_option(
         "--l2", options.l2,
         "L2 penalty: weight of half the sum of squares; default: the best on a held-out fifth of "
         "--train, searched from 1e-2")
      ->check(NumberAtLeast(0));
  app.footer(
      "example: fastclip eval linear runs/quickstart --train 'build/quickstart/train/*.tar' "
      "--shards 'build/quickstart/heldout/*.tar' --json");
  if (!ParseArguments(app, argc, argv)) return 0;

  const EvalSubject subject(options);
  const auto names = std::make_shared<ClassNames>(
      options.classes.empty() ? ClassesOfList(options.train) : ReadClasses(options.classes));
  const auto train = subject.OpenLabelled(options.train, options.label_key, names);
  const auto source = subject.OpenLabelled(options.shards, options.label_key, names);
  CheckLabels(*train, kMaxClasses, options.train, "a probe", *names);
  CheckLabels(*source, kMaxClasses, options.shards, "a probe", *names);
  const EncodeOptions encode = subject.Encode("images", source->size());
  CheckFits(train->size(), subject.model().embed_dim, encode.target.dtype == at::kDouble ? 8 : 4);

  const auto model = subject.Load();
  const Probe probe = Train(subject, *model, options, *train);
  const LinearClassifier& classifier = probe.fit.classifier;
  ClassHits hits(classifier.weights.size(0));
  hits.AddSkips(EncodeBatches(*model, *source, SampleIndex{0}, SampleIndex{source->size()},
                              subject.tokenizer(), encode, [&](const EncodedBatch& batch) {
                                hits.Add(batch.features.image, classifier.weights, classifier.bias,
                                         batch.labels, batch.indices);
                              }));
  const ClassMetrics metrics = hits.Metrics();
  if (options.json) {
    PrintJson(ToJson(subject, options, probe, *names, hits, metrics));
  } else {
    PrintTable(subject, options, probe, *names, hits, metrics);
  }
  return 0;
}

}  // namespace fastclip

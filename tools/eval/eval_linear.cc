#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>

#include "pipeline/base/printable.h"
#include "pipeline/files/system_memory.h"
#include "pipeline/sources/open_source.h"
#include "tools/eval/eval_subject.h"
#include "trainer/eval/class_prompts.h"
#include "trainer/eval/linear_probe.h"
#include "trainer/eval/zero_shot.h"

namespace fastclip {
namespace {

/// More are no classes but numbers of some other kind.
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

/// All training features are held at once, four or eight bytes a number.
void CheckFits(std::int64_t records, std::int64_t width, std::int64_t bytes_each) {
  const double need = static_cast<double>(records) * static_cast<double>(width * bytes_each);
  const auto have = static_cast<double>(PhysicalMemory());
  if (need <= have / 2) return;
  throw std::runtime_error(
      fmt::format("the features of {} training pictures take {:.1f} GiB, more than half of the "
                  "machine's {:.1f} GiB: name fewer shards with --train",
                  records, need / (1 << 30), have / (1 << 30)));
}

std::int64_t ClassesOf(const EncodedSet& set, const std::string& list) {
  if (set.labels.empty()) {
    throw std::runtime_error(
        fmt::format("{}: none of its pictures can be used: {}", list, DescribeSkips(set.skips)));
  }
  const auto largest = std::ranges::max_element(set.labels);
  if (*largest >= kMaxClasses) {
    throw std::runtime_error(fmt::format(
        "{}: record {} has label {}, and a probe has {} classes at most: is it a number of another "
        "kind? --label-key names the field of the class",
        list, set.indices[static_cast<std::size_t>(largest - set.labels.begin())], *largest,
        kMaxClasses));
  }
  if (*largest == 0) {
    throw std::runtime_error(list + ": all pictures have label 0; a choice needs two classes");
  }
  return *largest + 1;
}

Probe Train(const EvalSubject& subject, const ClipModel& model, const Options& options,
            const RecordSource& source) {
  const std::int64_t size = source.size();
  const EncodedSet set = EncodeSet(model, source, SampleIndex{0}, SampleIndex{size},
                                   subject.tokenizer(), subject.Encode("training pictures", size));
  const std::int64_t classes = ClassesOf(set, options.train);
  CheckFeatures(set.features.image, "pictures");
  Probe probe;
  probe.train_images = static_cast<std::int64_t>(set.labels.size());
  probe.train_skips = set.skips;
  if (options.l2) {
    probe.search.l2 = *options.l2;
  } else {
    const auto show = subject.Progress("fits for l2", kMostFits);
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
  fmt::print("model     {} ({})\n", subject.file(), subject.model().name);
  fmt::print("train     {}: {}, {} classes", options.train, Counted(probe.train_images, "picture"),
             hits.classes());
  if (const std::string left_out = DescribeSkips(probe.train_skips); !left_out.empty()) {
    fmt::print("; left out: {}", left_out);
  }
  fmt::print("\ndata      {}: {}", options.shards, Counted(metrics.images, "picture"));
  if (const std::string left_out = DescribeLeftOut(hits, names); !left_out.empty()) {
    fmt::print("; left out: {}", left_out);
  }
  fmt::print("\nfit       l2 {:.1e}{}; loss {:.4f} after {} evaluations, gradient {:.0e}\n",
             probe.search.l2,
             options.l2
                 ? std::string(" (given)")
                 : fmt::format(" (top-1 {:.4f} on a fifth held out)", probe.search.held_out_top_1),
             probe.fit.loss, probe.fit.evaluations, probe.fit.gradient);
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
  json["model"] = subject.file();
  json["train"] = options.train;
  json["shards"] = options.shards;
  json["seconds"] = subject.Seconds();
  return json;
}

}  // namespace

/// `fastclip eval linear`: how often a linear classifier on frozen features is right.
int RunEvalLinear(int argc, const char* const* argv) {
  Options options;
  CLI::App app(
      "Linear probe: logistic regression on the frozen, normalised picture features, trained on "
      "--train by L-BFGS and counted on --shards. The features of --train are held in memory, 4 "
      "bytes times the embedding width a picture, at most half of the machine's.",
      "fastclip eval linear");
  AddEvalOptions(app, options);
  app.add_option("--train", options.train, "labelled pictures to train on, a list as --shards")
      ->required();
  app.add_option("--classes", options.classes,
                 "file of class names, one a line, or 'imagenet': for labels that are names; "
                 "default: the folders' names, where --train is a folder of classes");
  AddLabelKey(app, options.label_key);
  app.add_option(
         "--l2", options.l2,
         "weight of half the sum of squares; default: the best on a fifth of --train held out, "
         "searched from 1e-2 on")
      ->check(CLI::NonNegativeNumber);
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
  const EncodeOptions encode = subject.Encode("pictures", source->size());
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

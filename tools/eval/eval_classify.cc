#include <ATen/core/Tensor.h>
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

#include "pipeline/base/printable.h"
#include "tools/eval/eval_report.h"
#include "tools/eval/eval_subject.h"
#include "trainer/adapters/adapter.h"
#include "trainer/eval/class_set.h"
#include "trainer/eval/zero_shot.h"

namespace fastclip {
namespace {

struct Options : EvalOptions {
  std::string classes;
  std::string label_key;
};

/// The head's own classes, for labels that are names.
ClassSet OwnClasses(const Adapter& adapter) {
  const std::int64_t count = ClassesOf(adapter);
  return {.count = count,
          .names = adapter.classes,
          .labels = std::make_shared<ClassNames>(adapter.classes),
          .from = fmt::format("the head of {} classes", count)};
}

/// Other names for the same classes.
ClassSet ClassesFor(const Options& options, const Adapter& adapter) {
  if (options.classes.empty()) return OwnClasses(adapter);
  ClassSet set = OpenClassSet(options.classes, options.shards);
  if (set.count != ClassesOf(adapter)) {
    throw std::runtime_error(fmt::format("{} has {} classes, but the head has {}", set.from,
                                         set.count, ClassesOf(adapter)));
  }
  return set;
}

void PrintTable(const EvalSubject& subject, const Options& options, const ClassSet& classes,
                const ClassHits& hits, const ClassMetrics& metrics) {
  PrintSubject(subject);
  fmt::print("data      {}: {}{}\n", options.shards, Counted(metrics.images, "image"),
             SkippedNote(DescribeLeftOut(hits, *classes.labels)));
  PrintClassTable("class head", metrics, hits.classes());
  fmt::print("\ntook {:.1f} s\n", subject.Seconds());
}

nlohmann::ordered_json ToJson(const EvalSubject& subject, const Options& options,
                              const Adapter& adapter, const ClassSet& classes,
                              const ClassHits& hits, const ClassMetrics& metrics) {
  nlohmann::ordered_json json;
  for (const auto& [name, value] : NamedClassMetrics(metrics, "classify_")) json[name] = value;
  json["num_samples"] = metrics.images;
  json["num_classes"] = hits.classes();
  json["left_out"] = NamedLeftOut(hits, *classes.labels);
  json["head"] = adapter.head;
  AddSubject(json, subject, options.shards);
  return json;
}

}  // namespace

/// `fastclip eval classify`: the class head of an adapter.
int RunEvalClassify(int argc, const char* const* argv) {
  Options options;
  CLI::App app(
      "Evaluates the class head of a run with adapt.task = \"classify\", or of such an adapter:\n"
      "top-1, top-5 and mean per-class recall.",
      "fastclip eval classify");
  AddEvalOptions(app, options);
  app.add_option("--classes", options.classes,
                 "file with one class name per line, label 0 first, for labels that are names; "
                 "default: the names that the head was trained with");
  AddLabelKey(app, options.label_key);
  app.footer(
      "example: fastclip eval classify runs/birds --shards 'birds/val-{00..03}.tar' --json\n"
      "         fastclip eval classify clip.safetensors --model ViT-B-32 --adapter "
      "runs/birds/checkpoints/step_500 --shards birds/val");
  if (!ParseArguments(app, argc, argv)) return 0;

  const EvalSubject subject(options);
  const Adapter adapter = subject.ReadHead();
  const ClassSet classes = ClassesFor(options, adapter);
  const auto source = subject.OpenLabelled(options.shards, options.label_key, classes.labels);
  CheckLabels(*source, classes.count, options.shards, classes.from, *classes.labels);
  const std::int64_t size = source->size();
  const auto model = subject.Load();
  ClassHead head = HeadOf(adapter.tensors);
  for (at::Tensor* tensor : {&head.weight, &head.bias}) {
    *tensor = tensor->to(model->logit_scale().options());
  }
  const ClassHits hits =
      ClassifyByHead(*model, *source, SampleIndex{0}, SampleIndex{size}, subject.tokenizer(), head,
                     HeadInputOf(adapter.head), subject.Encode("images", size));
  const ClassMetrics metrics = hits.Metrics();
  if (options.json) {
    PrintJson(ToJson(subject, options, adapter, classes, hits, metrics));
  } else {
    PrintTable(subject, options, classes, hits, metrics);
  }
  return 0;
}

}  // namespace fastclip

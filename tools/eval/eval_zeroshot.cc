#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>

#include "pipeline/base/printable.h"
#include "pipeline/sources/open_source.h"
#include "tools/cli/usage_error.h"
#include "tools/eval/eval_report.h"
#include "tools/eval/eval_subject.h"
#include "trainer/eval/zero_shot.h"

namespace fastclip {
namespace {

struct Options : EvalOptions {
  std::string classes;
  std::string templates = "openai";
  std::string label_key;
};

void PrintTable(const EvalSubject& subject, const Options& options, const ClassPrompts& prompts,
                const ClassList& classes, const ClassHits& hits, const ClassMetrics& metrics) {
  PrintSubject(subject);
  fmt::print("data      {}: {}{}\n", options.shards, Counted(metrics.images, "image"),
             SkippedNote(DescribeLeftOut(hits, *classes.names)));
  fmt::print("classes   {}: {} in {} of {}\n", classes.from,
             Counted(std::ssize(prompts.classes), "name"),
             Counted(std::ssize(prompts.templates), "template"), options.templates);
  if (const auto equal = FindEqualNames(prompts.classes); !equal.empty()) {
    fmt::print("          classes with the same name are counted separately: {}\n",
               DescribeEqualNames(equal));
  }
  PrintClassTable("zero-shot", metrics, hits.classes());
  fmt::print("\ntook {:.1f} s\n", subject.Seconds());
}

nlohmann::ordered_json ToJson(const EvalSubject& subject, const Options& options,
                              const ClassPrompts& prompts, const ClassList& classes,
                              const ClassHits& hits, const ClassMetrics& metrics) {
  nlohmann::ordered_json json;
  for (const auto& [name, value] : NamedClassMetrics(metrics, "zeroshot_")) json[name] = value;
  json["num_samples"] = metrics.images;
  json["num_classes"] = prompts.classes.size();
  json["num_templates"] = prompts.templates.size();
  if (const auto equal = FindEqualNames(prompts.classes); !equal.empty()) {
    for (const EqualNames& names : equal) {
      json["equal_names"].push_back({{"name", names.name}, {"lines", names.lines}});
    }
  }
  json["left_out"] = NamedLeftOut(hits, *classes.names);
  json["classes"] = classes.from;
  json["templates"] = options.templates;
  AddSubject(json, subject, options.shards);
  return json;
}

}  // namespace

/// `fastclip eval zeroshot`: zero-shot classification.
int RunEvalZeroShot(int argc, const char* const* argv) {
  Options options;
  CLI::App app(
      "Evaluates zero-shot classification: top-1, top-5 and mean per-class recall.\n"
      "A class embedding is the mean text feature of the class name in all templates. An image\n"
      "gets the class with the largest cosine similarity; ties are split evenly.",
      "fastclip eval zeroshot");
  AddEvalOptions(app, options);
  app.add_option(
      "--classes", options.classes,
      "file with one class name per line, label 0 first, or 'imagenet'; default: the folder "
      "names, if --shards is a folder of classes");
  app.add_option("--templates", options.templates,
                 "file with one prompt template per line, with {} or {c} for the class name, or "
                 "'openai' (80 templates) or 'simple' (7)")
      ->capture_default_str();
  AddLabelKey(app, options.label_key);
  app.footer(
      "example: fastclip eval zeroshot runs/mine --shards 'imagenet/val-{00..49}.tar' --classes "
      "imagenet --templates openai --json\n"
      "         fastclip eval zeroshot runs/quickstart --shards 'build/quickstart/heldout/*.tar' "
      "--classes build/quickstart/classes.txt --templates simple");
  if (!ParseArguments(app, argc, argv)) return 0;

  if (options.classes.empty() && ClassesOfList(options.shards).empty()) {
    OpenSourceWithInfo(options.shards, {});  // first what is wrong with the list itself
    throw UsageError(
        "--classes is required unless --shards is a folder of classes; set it to a file of class "
        "names or 'imagenet'");
  }
  const ClassList list = OpenClasses(options.classes, options.shards);
  const ClassPrompts prompts{list.prompts, ReadTemplates(options.templates)};
  const auto classes = static_cast<std::int64_t>(prompts.classes.size());
  const EvalSubject subject(options);
  const auto source = subject.OpenLabelled(options.shards, options.label_key, list.names);
  const std::int64_t size = source->size();
  CheckLabels(*source, classes, options.shards, list.from, *list.names);

  const auto model = subject.Load();
  const auto sentences = classes * static_cast<std::int64_t>(prompts.templates.size());
  const EncodeOptions encode = subject.Encode("images", size);
  const at::Tensor weights = ClassWeights(*model, subject.tokenizer(), prompts, encode,
                                          subject.Progress("class names", sentences));
  const ClassHits hits = ClassifyPictures(*model, *source, SampleIndex{0}, SampleIndex{size},
                                          subject.tokenizer(), weights, encode);
  const ClassMetrics metrics = hits.Metrics();
  if (options.json) {
    PrintJson(ToJson(subject, options, prompts, list, hits, metrics));
  } else {
    PrintTable(subject, options, prompts, list, hits, metrics);
  }
  return 0;
}

}  // namespace fastclip

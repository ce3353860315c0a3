#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>

#include "pipeline/base/printable.h"
#include "pipeline/sources/open_source.h"
#include "tools/cli/usage_error.h"
#include "tools/eval/eval_subject.h"
#include "trainer/eval/zero_shot.h"

namespace fastclip {
namespace {

struct Options : EvalOptions {
  std::string classes;
  std::string templates;
  std::string label_key;
};

void PrintTable(const EvalSubject& subject, const Options& options, const ClassPrompts& prompts,
                const ClassList& classes, const ClassHits& hits, const ClassMetrics& metrics) {
  fmt::print("model     {} ({})\n", subject.file(), subject.model().name);
  fmt::print("data      {}: {}", options.shards, Counted(metrics.images, "picture"));
  if (const std::string left_out = DescribeLeftOut(hits, *classes.names); !left_out.empty()) {
    fmt::print("; left out: {}", left_out);
  }
  fmt::print("\nclasses   {}: {} in {} of {}\n", classes.from,
             Counted(std::ssize(prompts.classes), "name"),
             Counted(std::ssize(prompts.templates), "template"), options.templates);
  if (const auto equal = FindEqualNames(prompts.classes); !equal.empty()) {
    fmt::print("          classes with equal names are kept apart: {}\n",
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
  json["model"] = subject.file();
  json["shards"] = options.shards;
  json["classes"] = classes.from;
  json["templates"] = options.templates;
  json["seconds"] = subject.Seconds();
  return json;
}

}  // namespace

/// `fastclip eval zeroshot`: how often the name of a picture's class is the nearest to it.
int RunEvalZeroShot(int argc, const char* const* argv) {
  Options options;
  CLI::App app(
      "Zero-shot classification: a class is the mean of its name in all templates, and a picture "
      "gets the class with the largest cosine. Of classes that tie, each is the first one equally "
      "often.",
      "fastclip eval zeroshot");
  AddEvalOptions(app, options);
  app.add_option("--classes", options.classes,
                 "file of class names, one a line, the first of label 0; or 'imagenet'; default: "
                 "the folders' names, where --shards is a folder of classes");
  app.add_option("--templates", options.templates,
                 "file of templates, one a line, {} or {c} where the name goes; or 'openai' "
                 "(80), 'simple' (7)")
      ->required();
  AddLabelKey(app, options.label_key);
  app.footer(
      "example: fastclip eval zeroshot runs/mine --shards 'imagenet/val-{00..49}.tar' --classes "
      "imagenet --templates openai --json\n"
      "         fastclip eval zeroshot runs/quickstart --shards 'build/quickstart/heldout/*.tar' "
      "--classes build/quickstart/classes.txt --templates simple");
  if (!ParseArguments(app, argc, argv)) return 0;

  if (options.classes.empty() && ClassesOfList(options.shards).empty()) {
    throw UsageError(
        "--classes is needed, a file of class names or 'imagenet', unless --shards is a folder of "
        "classes");
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
  const EncodeOptions encode = subject.Encode("pictures", size);
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

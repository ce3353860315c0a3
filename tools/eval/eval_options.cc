#include "tools/eval/eval_options.h"

#include <fmt/format.h>

#include <utility>

#include "pipeline/loader/compute_pool.h"

namespace fastclip {

void AddEvalOptions(CLI::App& app, EvalOptions& options, const char* data) {
  app.add_option("RUN_OR_CHECKPOINT", options.model,
                 "run folder (its newest complete checkpoint), RUN/checkpoints/step_N, or a "
                 ".safetensors file with OpenCLIP's parameter names")
      ->required();
  app.add_option("--shards", options.shards, "data to evaluate on: " + std::string(data))
      ->required();
  app.add_option(
      "--adapter", options.adapter,
      "adapter to apply to the weights: an adapter folder or a run of fastclip adapt; to evaluate "
      "such a run alone, give it instead of the weights");
  app.add_option("--model", options.preset,
                 "preset or model .toml; default: from the run's config.toml, or from "
                 "checkpoint.json or open_clip_config.json next to the file");
  app.add_option("--tokenizer", options.tokenizer,
                 std::string(kTokenizerHelp) + "; default: the run's, else clip")
      ->check(WrongTokenizer);
  options.table.AddTo(app);
  for (const auto& [option, key] : {std::pair{"--image-key", "data.image_key"},
                                    {"--caption-key", "data.caption_key"},
                                    {"--separator", "data.separator"}}) {
    CLI::Option* const known = app.get_option(option);
    known->description(fmt::format("{}; for a run: its {}, if set", known->get_description(), key));
  }
  app.add_option("--batch", options.batch_size, "images encoded at once")
      ->check(Between(1, 65536))
      ->capture_default_str();
  app.add_option("--threads", options.threads, std::string(kThreadsHelp) + "; default: all cores")
      ->check(Between(1, kMostThreads));
  app.add_option("--device", options.device,
                 "auto, cpu or cuda; auto: cuda if the program was built with it, the driver "
                 "answers and a GPU is visible")
      ->check(OneOf({"auto", "cpu", "cuda"}))
      ->capture_default_str();
  app.add_flag("--json", options.json, kJsonHelp);
}

void AddLabelKey(CLI::App& app, std::string& label_key) {
  app.add_option("--label-key", label_key, kLabelKeyHelp);
}

}  // namespace fastclip

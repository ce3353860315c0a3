#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "comm/exchange.h"
#include "pipeline/base/printable.h"
#include "trainer/eval/gather_set.h"
#include "trainer/eval/zero_shot.h"
#include "trainer/run/metrics.h"
#include "trainer/run/trainer.h"

// Zero-shot classification during training.

namespace fastclip {

ZeroShotSet ZeroShotSet::Open(const LoadedConfig& config, SourceOptions options) {
  const TrainConfig::Eval& eval = config->eval;
  ZeroShotSet set;
  if (eval.zeroshot.empty()) return set;
  const auto checked = [&](const char* key, auto&& read) {
    try {
      return read();
    } catch (const std::runtime_error& error) {
      throw config.table().Error(key, error.what());
    }
  };
  const ClassList classes = checked(
      "eval.zeroshot_classes", [&] { return OpenClasses(eval.zeroshot_classes, eval.zeroshot); });
  set.prompts.classes = classes.prompts;
  set.names = classes.names;
  set.prompts.templates =
      checked("eval.zeroshot_templates", [&] { return ReadTemplates(eval.zeroshot_templates); });
  options.labels = eval.zeroshot_label_key;
  options.class_names = classes.names;
  checked("eval.zeroshot", [&] {
    OpenedSource opened = OpenSourceWithInfo(eval.zeroshot, options);
    set.source = std::move(opened.source);
    set.parts = std::move(opened.parts);
    CheckLabels(*set.source, static_cast<std::int64_t>(set.prompts.classes.size()), eval.zeroshot,
                classes.from, *classes.names);
  });
  return set;
}

std::vector<std::string> ZeroShotSet::Remarks() const {
  std::vector<std::string> remarks = FolderLines(parts);
  for (const std::string& line : WarningLines(parts)) remarks.push_back("warning: " + line);
  return remarks;
}

// The ranks share the pictures; each makes the class weights, which need no exchange then.
void Trainer::EvaluateZeroShot(const std::stop_token& stop) {
  const SetShare share = ShareOf(zeroshot_.source->size(), comm_.rank(), comm_.world_size());
  const EncodeOptions encode =
      EncodeForEval("zero-shot", ToInt(share.last) - ToInt(share.first), stop);
  ClassHits hits(static_cast<std::int64_t>(zeroshot_.prompts.classes.size()));
  bool stopped = false;
  Together(comm_, [&] {
    try {
      const at::Tensor weights =
          ClassWeights(model_, *tokenizer_, zeroshot_.prompts, encode, [&](std::int64_t done) {
            if (console_.StatusDue()) console_.Status(fmt::format("zero-shot: {} sentences", done));
          });
      hits = ClassifyPictures(model_, *zeroshot_.source, share.first, share.last, *tokenizer_,
                              weights, encode);
    } catch (const EncodingStopped&) {
      stopped = true;
    }
  });
  if (AnyStopped(stopped)) throw EncodingStopped();
  hits.SumOver(comm_);
  ClassMetrics metrics;
  Together(comm_, [&] { metrics = hits.Metrics(); });
  zeroshot_at_ = step_;
  if (!log_) return;
  nlohmann::ordered_json left_out = NamedSkips(hits.skips());
  if (hits.out_of_range() > 0) left_out["label_out_of_range"] = hits.out_of_range();
  KeepFailure([&] {
    log_->Write("zeroshot", step_, NamedClassMetrics(metrics, ""),
                {{"epoch", epoch()},
                 {"images", metrics.images},
                 {"classes", hits.classes()},
                 {"skips", left_out}});
  });
  std::string described = hits.DescribeLeftOut();
  if (const std::string unknown = zeroshot_.names->DescribeUnknown(); !unknown.empty()) {
    described += fmt::format(" ({})", unknown);
  }
  console_.Say(fmt::format("epoch {}: zero-shot top-1 {:.3f} top-5 {:.3f} ({} of {} classes{})",
                           epoch(), metrics.top_1, metrics.top_5,
                           Counted(metrics.images, "picture"), hits.classes(),
                           described.empty() ? "" : "; left out: " + described));
}

}  // namespace fastclip

#include "trainer/run/evaluator.h"

#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "comm/exchange.h"
#include "pipeline/base/printable.h"
#include "trainer/adapt/class_head.h"
#include "trainer/eval/class_hits.h"
#include "trainer/eval/gather_set.h"
#include "trainer/eval/retrieval.h"
#include "trainer/eval/validation_loss.h"
#include "trainer/eval/zero_shot.h"
#include "trainer/log/metrics.h"
#include "trainer/run/rank_memory.h"
#include "trainer/run/run_setup.h"

namespace fastclip {
namespace {

EncodeOptions EncodeOf(const TrainConfig& config, const EvaluationInput& input, const char* what,
                       std::int64_t total) {
  return {.batch_size = static_cast<int>(config.eval.batch_size),
          .target = input.target,
          .loader = config.pipeline,
          .progress =
              [&console = input.console, what, total](std::int64_t done) {
                if (!console.StatusDue()) return;
                console.Status(
                    StatusLine(fmt::format("{}: {} of {}", what, done, Counted(total, "record")))
                        .Bar(static_cast<double>(done) / static_cast<double>(total)));
              },
          .stop = input.stop};
}

/// Runs `encode` on all ranks; what it throws, all throw.
template <class Encode>
void EncodeTogether(const TrainConfig& config, Communicator& comm, const Encode& encode) {
  bool stopped = false;
  Together(comm, [&] {
    try {
      encode();
    } catch (const EncodingStopped&) {
      stopped = true;
    } catch (const c10::OutOfMemoryError& error) {
      throw std::runtime_error(AdviseOnEvaluation(config, error));
    }
  });
  if (comm.world_size() == 1 ? stopped : AnyRank(comm, stopped)) throw EncodingStopped();
}

class RetrievalEvaluator final : public Evaluator {
 public:
  RetrievalEvaluator(const TrainConfig& config, const RecordSource& source)
      : Evaluator(config.eval.every_epochs), config_(config), source_(source) {}

  const char* event() const override { return "retrieval"; }

  EvaluationResult Run(const EvaluationInput& input) const override {
    Communicator& comm = input.comm;
    const SetShare share = ShareOf(source_.size(), comm.rank(), comm.world_size());
    const std::int64_t records = ToInt(share.last) - ToInt(share.first);
    EncodedSet mine;
    EncodeTogether(config_, comm, [&] {
      mine = EncodeSet(input.model, source_, share.first, share.last, input.tokenizer,
                       EncodeOf(config_, input, "evaluating", records));
    });
    const EncodedSet set = GatherSet(mine, comm);
    RetrievalMetrics metrics;
    double loss = 0;
    Together(comm, [&] {
      metrics = ComputeRetrieval(set.features.image, set.features.text, set.caption_row);
      loss =
          ValidationLoss(set, input.model.logit_scale().item<double>(), config_.train.batch_size);
    });
    RunLog::Scalars scalars = NamedRetrieval(metrics);
    scalars.emplace_back("clip_val_loss", loss);
    return {.scalars = scalars,
            .extra = {{"images", metrics.images},
                      {"captions", metrics.captions},
                      {"skips", NamedSkips(set.skips)}},
            .text = fmt::format("validation loss {:.3f} (chance {:.2f}), {}", loss,
                                std::log(std::min(metrics.images, config_.train.batch_size)),
                                Describe(metrics)),
            .brief = fmt::format("R@1 {:.3f}", metrics.image_to_text.recall_1)};
  }

 private:
  std::string Describe(const RetrievalMetrics& metrics) const {
    std::string captions;
    if (source_.texts_of_several_lines() > 0) {
      captions = fmt::format(", {}: {}", Counted(metrics.captions, "caption"),
                             DescribeLines(OtherSourceOf(config_).caption_lines));
    }
    return fmt::format(
        "image to text R@1 {:.3f} R@10 {:.3f}, text to image R@1 {:.3f} R@10 {:.3f} ({}{})",
        metrics.image_to_text.recall_1, metrics.image_to_text.recall_10,
        metrics.text_to_image.recall_1, metrics.text_to_image.recall_10,
        Counted(metrics.images, "image"), captions);
  }

  const TrainConfig& config_;
  const RecordSource& source_;
};

/// Of the hits of all ranks, which it sums. `left_out`: what is said behind the records left out.
EvaluationResult ResultOf(ClassHits& hits, Communicator& comm, const char* kind,
                          const std::string& left_out, const char* board_prefix) {
  hits.SumOver(comm);
  ClassMetrics metrics;
  Together(comm, [&] { metrics = hits.Metrics(); });
  nlohmann::ordered_json skips = NamedSkips(hits.skips());
  if (hits.out_of_range() > 0) skips["label_out_of_range"] = hits.out_of_range();
  const std::string not_used = hits.DescribeLeftOut() + left_out;
  return {.scalars = NamedClassMetrics(metrics, ""),
          .extra = {{"images", metrics.images}, {"classes", hits.classes()}, {"skips", skips}},
          .text = fmt::format("{}top-1 {:.3f} (chance {:.3f}) top-5 {:.3f} ({} of {} classes{})",
                              kind, metrics.top_1, 1 / static_cast<double>(hits.classes()),
                              metrics.top_5, Counted(metrics.images, "image"), hits.classes(),
                              not_used.empty() ? "" : "; left out: " + not_used),
          .brief = fmt::format("top-1 {:.3f}", metrics.top_1),
          .board_prefix = board_prefix};
}

class ZeroShotEvaluator final : public Evaluator {
 public:
  ZeroShotEvaluator(const TrainConfig& config, const ZeroShotSet& set)
      : Evaluator(config.eval.zeroshot_every_epochs), config_(config), set_(set) {}

  const char* event() const override { return "zeroshot"; }

  // Each rank makes the class weights, which need no exchange then.
  EvaluationResult Run(const EvaluationInput& input) const override {
    Communicator& comm = input.comm;
    const SetShare share = ShareOf(set_.source->size(), comm.rank(), comm.world_size());
    const EncodeOptions encode =
        EncodeOf(config_, input, "zero-shot", ToInt(share.last) - ToInt(share.first));
    ClassHits hits(static_cast<std::int64_t>(set_.prompts.classes.size()));
    EncodeTogether(config_, comm, [&] {
      const auto show = [&](std::int64_t done) {
        if (input.console.StatusDue())
          input.console.Status(fmt::format("zero-shot: {} prompts encoded", done));
      };
      const at::Tensor weights =
          ClassWeights(input.model, input.tokenizer, set_.prompts, encode, show);
      hits = ClassifyPictures(input.model, *set_.source, share.first, share.last, input.tokenizer,
                              weights, encode);
    });
    const std::string unknown = set_.names->DescribeUnknown();
    // OpenCLIP's tag where the set is ImageNet.
    return ResultOf(
        hits, comm, "zero-shot ", unknown.empty() ? "" : fmt::format(" ({})", unknown),
        config_.eval.zeroshot_classes == "imagenet" ? "imagenet-zeroshot-val-" : "zeroshot-val-");
  }

 private:
  const TrainConfig& config_;
  const ZeroShotSet& set_;
};

/// The class head on data.val.
class HeadEvaluator final : public Evaluator {
 public:
  HeadEvaluator(const TrainConfig& config, const ClassSet& classes, const RecordSource& source)
      : Evaluator(config.eval.every_epochs), config_(config), classes_(classes), source_(source) {}

  const char* event() const override { return "classify"; }

  EvaluationResult Run(const EvaluationInput& input) const override {
    Communicator& comm = input.comm;
    const SetShare share = ShareOf(source_.size(), comm.rank(), comm.world_size());
    ClassHits hits(classes_.count);
    EncodeTogether(config_, comm, [&] {
      hits = ClassifyByHead(
          input.model, source_, share.first, share.last, input.tokenizer,
          HeadOf(input.model.added()), HeadInputOf(config_.adapt.head),
          EncodeOf(config_, input, "evaluating", ToInt(share.last) - ToInt(share.first)));
    });
    return ResultOf(hits, comm, "", "", "classify-val-");
  }

 private:
  const TrainConfig& config_;
  const ClassSet& classes_;
  const RecordSource& source_;
};

}  // namespace

std::vector<std::unique_ptr<Evaluator>> MakeEvaluators(const TrainConfig& config,
                                                       const ClassSet& classes,
                                                       const OpenedData& data) {
  std::vector<std::unique_ptr<Evaluator>> evaluators;
  if (data.val && classes.count > 0) {
    evaluators.push_back(std::make_unique<HeadEvaluator>(config, classes, *data.val));
  } else if (data.val) {
    evaluators.push_back(std::make_unique<RetrievalEvaluator>(config, *data.val));
  }
  if (data.zeroshot.source) {
    evaluators.push_back(std::make_unique<ZeroShotEvaluator>(config, data.zeroshot));
  }
  return evaluators;
}

}  // namespace fastclip

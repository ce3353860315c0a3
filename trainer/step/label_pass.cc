#include "trainer/step/label_pass.h"

#include <ATen/ATen.h>

#include <limits>

#include "pipeline/base/counter_random.h"
#include "trainer/model/autocast.h"

namespace fastclip {

LabelPass::LabelPass(const ClipModel& model, HeadInput input,
                     std::optional<at::ScalarType> autocast, std::int64_t batch_size)
    : model_(model),
      head_(HeadOf(model.added())),
      input_(input),
      autocast_(autocast),
      batch_size_(batch_size) {}

ObjectiveResult LabelPass::Run(std::span<const MicroBatch> micro, std::uint64_t draw,
                               const at::Tensor& scale,
                               const std::function<void()>& before_last) const {
  const auto rows = static_cast<double>(batch_size_);
  at::Tensor loss = at::zeros({}, head_.weight.options().dtype(at::kDouble));
  at::Tensor hits = at::zeros_like(loss);
  for (std::size_t i = 0; i < micro.size(); ++i) {
    const MicroBatch& part = micro[i];
    const DropoutScope masks(model_.dropout(), Mix(draw, i));
    at::Tensor encoded;
    {
      const AutocastGuard autocast(part.images.device().type(), autocast_);
      encoded = EncodeFor(input_, model_, part.images, TowerMode::kTrain, part.kept_patches);
    }
    const at::Tensor scores = head_.Scores(encoded);  // [b, classes]
    // L = 1/B Σᵢ −ln softmax(scoresᵢ)[labelᵢ], over the B rows of all ranks
    const at::Tensor mine =
        at::cross_entropy_loss(scores, part.labels, {}, at::Reduction::Sum) / rows;
    if (i + 1 == micro.size()) before_last();
    (scale.defined() ? mine * scale.to(mine.scalar_type()) : mine).backward();
    loss += mine.detach();
    hits += scores.detach().argmax(1).eq(part.labels).sum().to(at::kDouble) / rows;
  }
  ObjectiveResult result;
  result.report.loss = loss;
  result.report.contrastive_loss = loss;
  result.report.in_batch_accuracy = hits;
  return result;
}

}  // namespace fastclip

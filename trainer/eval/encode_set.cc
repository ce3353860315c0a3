#include "trainer/eval/encode_set.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <stdexcept>
#include <string>

#include "pipeline/base/suggested_command.h"
#include "pipeline/loader/batch_loader.h"
#include "trainer/step/pinned_memory.h"

namespace fastclip {
namespace {

LoaderOptions FittedTo(const ClipModel& model, LoaderOptions options) {
  options.image_size = static_cast<int>(model.config().vision.image_size);
  options.context_length = static_cast<int>(model.config().text.context_length);
  return options;
}

at::Tensor Joined(const std::vector<at::Tensor>& parts, const ClipModel& model,
                  const TensorTarget& target, HeadInput of = HeadInput::kFeatures) {
  if (!parts.empty()) return at::cat(parts);
  return at::empty({0, HeadWidth(of, model.config())},
                   at::TensorOptions(target.dtype).device(target.device));
}

}  // namespace

SkipCounts EncodeBatches(const ClipModel& model, const RecordSource& source, SampleIndex first,
                         SampleIndex last, const Tokenizer& tokenizer, const EncodeOptions& options,
                         const std::function<void(const EncodedBatch&)>& visit) {
  const at::NoGradGuard no_grad;
  const int batch_size = options.batch_size;
  BatchLoader loader(source, first, last, batch_size, tokenizer, FittedTo(model, options.loader),
                     {.memory = BatchMemory(options.target.device)});
  SkipCounts skips{};
  std::int64_t records = 0;
  while (const auto batch = loader.Next(options.stop)) {
    if (options.stop.stop_requested()) throw EncodingStopped();
    skips += batch->skips();
    PerSide<std::vector<at::Tensor>> parts;
    if (batch->rows() > 0) {
      parts.image.push_back(EncodeFor(
          options.images, model,
          ImageTensor(batch->pixels(), batch->rows(), batch->image_size(), options.target)));
    }
    // Pictures may have any number of captions: as many go at once as pictures do.
    const std::size_t context = static_cast<std::size_t>(batch->context_length());
    for (int caption = 0; caption < batch->captions(); caption += batch_size) {
      const auto begin = static_cast<std::size_t>(caption);
      const auto count =
          static_cast<std::size_t>(std::min(batch_size, batch->captions() - caption));
      const CaptionTensors captions =
          CaptionsOf(batch->tokens().subspan(begin * context, count * context),
                     batch->pool().subspan(begin, count), batch->context_length(), options.target);
      parts.text.push_back(model.EncodeText(captions.tokens, captions.pool, captions.groups));
    }
    visit({.features = {Joined(parts.image, model, options.target, options.images),
                        Joined(parts.text, model, options.target)},
           .caption_row = batch->caption_row(),
           .indices = batch->indices(),
           .labels = batch->labels()});
    records = std::min(records + batch_size, ToInt(last) - ToInt(first));
    if (options.progress) options.progress(records);
  }
  if (options.stop.stop_requested()) throw EncodingStopped();
  return skips;
}

EncodedSet EncodeSet(const ClipModel& model, const RecordSource& source, SampleIndex first,
                     SampleIndex last, const Tokenizer& tokenizer, const EncodeOptions& options) {
  EncodedSet set;
  PerSide<std::vector<at::Tensor>> parts;
  set.skips =
      EncodeBatches(model, source, first, last, tokenizer, options, [&](const EncodedBatch& batch) {
        const auto pictures = static_cast<std::int64_t>(set.indices.size());
        for (const std::int64_t row : batch.caption_row) set.caption_row.push_back(pictures + row);
        set.indices.insert(set.indices.end(), batch.indices.begin(), batch.indices.end());
        set.labels.insert(set.labels.end(), batch.labels.begin(), batch.labels.end());
        parts.image.push_back(batch.features.image);
        parts.text.push_back(batch.features.text);
      });
  set.features = {Joined(parts.image, model, options.target, options.images),
                  Joined(parts.text, model, options.target)};
  return set;
}

void CheckFeatures(const at::Tensor& features, const char* what) {
  if (features.size(0) == 0) {
    throw std::runtime_error(std::string("nothing to evaluate: the set has no ") + what +
                             " that can be used; " + SuggestedCommand("shards lint") +
                             " lists why");
  }
  if (!at::isfinite(features.sum()).item<bool>()) {
    throw std::runtime_error(std::string("the model gives non-finite features for some ") + what +
                             "; use an earlier checkpoint");
  }
}

}  // namespace fastclip

#include "trainer/eval/encode_set.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

namespace fastclip {
namespace {

LoaderOptions FittedTo(const ClipModel& model, LoaderOptions options) {
  options.image_size = static_cast<int>(model.config().vision.image_size);
  options.context_length = static_cast<int>(model.config().text.context_length);
  return options;
}

at::Tensor Joined(const std::vector<at::Tensor>& parts, const ClipModel& model,
                  const TensorTarget& target) {
  if (!parts.empty()) return at::cat(parts);
  return at::empty({0, model.config().embed_dim},
                   at::TensorOptions(target.dtype).device(target.device));
}

}  // namespace

EncodedSet EncodeSet(const ClipModel& model, const RecordSource& source, SampleIndex first,
                     SampleIndex last, const Tokenizer& tokenizer, const EncodeOptions& options) {
  const at::NoGradGuard no_grad;
  const int batch_size = options.batch_size;
  BatchLoader loader(source, first, last, batch_size, tokenizer, FittedTo(model, options.loader));
  EncodedSet set;
  PerSide<std::vector<at::Tensor>> parts;
  std::int64_t pictures = 0, records = 0;
  while (const auto batch = loader.Next(options.stop)) {
    if (options.stop.stop_requested()) throw EncodingStopped();
    for (int cause = 0; cause < kSkipCauses; ++cause) set.skips[cause] += batch->skips()[cause];
    if (batch->rows() > 0) {
      parts.image.push_back(model.EncodeImage(
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
      parts.text.push_back(model.EncodeText(captions.tokens, captions.pool));
    }
    for (const std::int64_t row : batch->caption_row()) set.caption_row.push_back(pictures + row);
    pictures += batch->rows();
    records = std::min(records + batch_size, ToInt(last) - ToInt(first));
    if (options.progress) options.progress(records);
  }
  if (options.stop.stop_requested()) throw EncodingStopped();
  set.features = {Joined(parts.image, model, options.target),
                  Joined(parts.text, model, options.target)};
  return set;
}

}  // namespace fastclip

#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>

#include "trainer/adapt/class_head.h"
#include "trainer/eval/class_hits.h"
#include "trainer/eval/class_prompts.h"
#include "trainer/eval/encode_set.h"

namespace fastclip {

/// One row per class, [classes, d] double: the normalized mean over the templates of the normalized
/// text features, as in OpenCLIP. Encodes EncodeOptions::batch_size sentences at once, which limits
/// memory. Names with equal token ids have bit-identical rows. `progress`, if given, is called with
/// the number of sentences done. Throws std::runtime_error if a row is not finite.
at::Tensor ClassWeights(const ClipModel& model, const Tokenizer& tokenizer,
                        const ClassPrompts& prompts, const EncodeOptions& options,
                        const std::function<void(std::int64_t)>& progress = {});

/// Assigns each image of the records [first, last) the class with the largest cosine (OpenCLIP's
/// 100·cosine has the same order). `source` must be opened with SourceOptions::labels. Images are
/// processed batch by batch, so memory does not grow with the set. `tokenizer` is not used (there
/// are no captions), but the loader needs one. Throws what EncodeBatches throws.
ClassHits ClassifyPictures(const ClipModel& model, const RecordSource& source, SampleIndex first,
                           SampleIndex last, const Tokenizer& tokenizer,
                           const at::Tensor& class_weights, const EncodeOptions& options);

/// The same by a class head, which reads `input`: the class with the largest score.
ClassHits ClassifyByHead(const ClipModel& model, const RecordSource& source, SampleIndex first,
                         SampleIndex last, const Tokenizer& tokenizer, const ClassHead& head,
                         HeadInput input, EncodeOptions options);

/// Checks some records, spread over the set, before any work starts. Throws std::runtime_error with
/// the causes and what to do if none of them can be used with `classes` classes: the labels are
/// elsewhere, or belong to another class list. `set` is the list that was opened, `from` the origin
/// of the classes, `names` the names that the set was opened with.
void CheckLabels(const RecordSource& source, std::int64_t classes, const std::string& set,
                 const std::string& from, const ClassNames& names);

}  // namespace fastclip

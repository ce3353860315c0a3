#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>

#include "trainer/eval/class_hits.h"
#include "trainer/eval/class_prompts.h"
#include "trainer/eval/encode_set.h"

namespace fastclip {

/// A row a class, [classes, d] double: the normalised mean over the templates of the normalised
/// text features, as in OpenCLIP. EncodeOptions::batch_size sentences go at once, which bounds the
/// memory. Names with equal ids have equal rows, to the bit. `progress` is called with the number
/// of sentences done, if given. Throws std::runtime_error where a row is not finite.
at::Tensor ClassWeights(const ClipModel& model, const Tokenizer& tokenizer,
                        const ClassPrompts& prompts, const EncodeOptions& options,
                        const std::function<void(std::int64_t)>& progress = {});

/// Gives each picture of the records [first, last) the class with the largest cosine (OpenCLIP's
/// 100·cosine has the same order). `source` was opened with SourceOptions::labels. Pictures go
/// batch by batch: the memory does not grow with the set. `tokenizer` is not used, as there are no
/// captions, but a loader wants one. Throws what EncodeBatches throws.
ClassHits ClassifyPictures(const ClipModel& model, const RecordSource& source, SampleIndex first,
                           SampleIndex last, const Tokenizer& tokenizer,
                           const at::Tensor& class_weights, const EncodeOptions& options);

/// Looks at some records, spread over the set, before any work starts. Throws std::runtime_error
/// with the causes and what to do if none of them can be used with `classes` classes: the labels
/// lie elsewhere, or belong to another list of classes. `set` is the list that was opened, `from`
/// what the classes come from, `names` those that it was opened with.
void CheckLabels(const RecordSource& source, std::int64_t classes, const std::string& set,
                 const std::string& from, const ClassNames& names);

}  // namespace fastclip

#include "trainer/eval/zero_shot.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "pipeline/base/printable.h"
#include "pipeline/sources/open_source.h"

namespace fastclip {
namespace {

constexpr std::int64_t kLooks = 64;  // records that CheckLabels reads

/// Classes without duplicates that a model reads alike, and the row of each original class.
struct DistinctClasses {
  ClassPrompts prompts;
  std::vector<std::int64_t> row;  // [classes]
};

/// For a folder of classes whose names are not those of the given list.
std::string FolderNamesInstead(const std::string& set, const std::string& from) {
  const std::vector<std::string> folders = ClassesOfList(set);
  if (folders.empty() || from == "the folder names") return "";
  return "; or leave out --classes: the names of the folders are then the classes";
}

/// Compares token ids: a tokenizer can fold case and clean names up.
DistinctClasses Distinct(const ClassPrompts& prompts, const Tokenizer& tokenizer) {
  DistinctClasses distinct{{{}, prompts.templates}, {}};
  std::map<std::vector<TokenId>, std::int64_t> rows;
  for (std::size_t i = 0; i < prompts.classes.size(); ++i) {
    const auto next = static_cast<std::int64_t>(distinct.prompts.classes.size());
    const auto [found, fresh] = rows.emplace(tokenizer.Encode(prompts.Sentence(i, 0)), next);
    if (fresh) distinct.prompts.classes.push_back(prompts.classes[i]);
    distinct.row.push_back(found->second);
  }
  return distinct;
}

}  // namespace

at::Tensor ClassWeights(const ClipModel& model, const Tokenizer& tokenizer,
                        const ClassPrompts& prompts, const EncodeOptions& options,
                        const std::function<void(std::int64_t)>& progress) {
  const at::NoGradGuard no_grad;
  const DistinctClasses distinct = Distinct(prompts, tokenizer);
  const std::size_t templates = prompts.templates.size();
  const std::size_t sentences = distinct.prompts.classes.size() * templates;
  const auto context = static_cast<std::size_t>(model.config().text.context_length);
  at::Tensor sums;  // [distinct classes, d]
  for (std::size_t first = 0; first < sentences;) {
    const std::size_t last =
        std::min(first + static_cast<std::size_t>(options.batch_size), sentences);
    std::vector<TokenId> tokens((last - first) * context);
    std::vector<std::int64_t> pool, rows;
    for (std::size_t i = first; i < last; ++i) {
      pool.push_back(EncodeContext(tokenizer,
                                   distinct.prompts.Sentence(i / templates, i % templates),
                                   std::span(tokens).subspan((i - first) * context, context)));
      rows.push_back(static_cast<std::int64_t>(i / templates));
    }
    const CaptionTensors captions =
        CaptionsOf(tokens, pool, static_cast<std::int64_t>(context), options.target);
    const at::Tensor features = model.EncodeText(captions.tokens, captions.pool, captions.groups)
                                    .to(at::kDouble);  // [last − first, d]
    if (!sums.defined()) {
      sums =
          at::zeros({static_cast<std::int64_t>(distinct.prompts.classes.size()), features.size(1)},
                    features.options());
    }
    sums.index_add_(0, at::tensor(rows, at::kLong).to(sums.device()), features);
    first = last;
    if (progress) progress(static_cast<std::int64_t>(last));
  }
  CheckFeatures(sums, "class names");
  // The sum over the templates has the direction of their mean.
  return (sums / sums.norm(2, 1, /*keepdim=*/true))
      .index_select(0, at::tensor(distinct.row, at::kLong).to(sums.device()));
}

ClassHits ClassifyPictures(const ClipModel& model, const RecordSource& source, SampleIndex first,
                           SampleIndex last, const Tokenizer& tokenizer,
                           const at::Tensor& class_weights, const EncodeOptions& options) {
  ClassHits hits(class_weights.size(0));
  hits.AddSkips(
      EncodeBatches(model, source, first, last, tokenizer, options, [&](const EncodedBatch& batch) {
        hits.Add(batch.features.image, class_weights, {}, batch.labels, batch.indices);
      }));
  return hits;
}

ClassHits ClassifyByHead(const ClipModel& model, const RecordSource& source, SampleIndex first,
                         SampleIndex last, const Tokenizer& tokenizer, const ClassHead& head,
                         HeadInput input, EncodeOptions options) {
  options.images = input;
  ClassHits hits(head.classes());
  const at::Tensor weight = head.weight.detach(), bias = head.bias.detach();
  hits.AddSkips(
      EncodeBatches(model, source, first, last, tokenizer, options, [&](const EncodedBatch& batch) {
        hits.Add(batch.features.image, weight, bias, batch.labels, batch.indices);
      }));
  return hits;
}

void CheckLabels(const RecordSource& source, std::int64_t classes, const std::string& set,
                 const std::string& from, const ClassNames& names) {
  const std::int64_t looks = std::min(kLooks, source.size());
  SkipCounts skips{};
  std::int64_t out_of_range = 0, record = 0, label = 0;
  for (std::int64_t i = 0; i < looks; ++i) {
    const std::int64_t index = i * source.size() / looks;
    const RecordBlock block = source.Read(SampleIndex{index}, 1, {});
    const Record& found = block.records.at(0);
    if (found.skip) {
      ++skips[*found.skip];
    } else if (found.label >= 0 && found.label < classes) {
      names.ForgetUnknown();
      return;
    } else if (out_of_range++ == 0) {
      record = index;
      label = found.label;
    }
  }
  if (out_of_range > 0) {
    throw std::runtime_error(fmt::format(
        "{}: all labels read are out of range: record {} has label {}, but {} has {} classes, "
        "labels 0 to {}; check that the class list belongs to this data",
        set, record, label, from, classes, classes - 1));
  }
  const std::string unknown = names.DescribeUnknown();
  throw std::runtime_error(fmt::format(
      "{}: {} checked, none can be used: {}; {}", set, Counted(looks, "record"),
      DescribeSkips(skips),
      unknown.empty() ? "labels are read from .cls members or a column 'label'; for another place "
                        "set --label-key (eval.zeroshot_label_key in a run), as in json.NAME"
      : names.size() == 0 ? unknown + "; set --classes to a file of class names"
                          : unknown + " of " + from + FolderNamesInstead(set, from)));
}

}  // namespace fastclip

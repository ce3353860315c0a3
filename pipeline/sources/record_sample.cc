#include "pipeline/sources/record_sample.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "pipeline/base/counter_random.h"
#include "pipeline/shards/shard_list.h"

namespace fastclip {
namespace {

constexpr std::int64_t kLooks = 64;
constexpr std::int64_t kLooksAtAll = 1024;
constexpr std::size_t kNamedFields = 12;
constexpr std::string_view kJson = "json.";
/// Fields that are labels: a member's, and what tables and folders tell.
constexpr const char* kMemberLabel = "cls";
constexpr const char* kOtherLabel = "label";

RecordSample SamplePart(const RecordSource& source, std::int64_t first, std::int64_t size,
                        std::int64_t looks) {
  RecordSample sample;
  sample.size = size;
  sample.records = std::min(looks, size);
  const std::int64_t lines = source.texts_of_several_lines();
  for (std::int64_t i = 0; i < sample.records; ++i) {
    // A random one of each stretch, since lists may be regular: every fifth image missing.
    const std::int64_t begin = i * size / sample.records;
    const std::int64_t end = (i + 1) * size / sample.records;
    const auto step = static_cast<std::int64_t>(MixBits(static_cast<std::uint64_t>(i)) %
                                                static_cast<std::uint64_t>(end - begin));
    const SampleIndex index{first + begin + step};
    const RecordBlock block = source.Read(index, 1, {});
    const Record& record = block.records.at(0);
    if (record.skip) ++sample.skips[*record.skip];
    if (!record.captions.empty()) ++sample.captioned;
    if (record.label >= 0) {
      const bool first_label = sample.labelled++ == 0;
      sample.least_label = first_label ? record.label : std::min(sample.least_label, record.label);
      sample.most_label = std::max(sample.most_label, record.label);
    }
    for (const std::string& field : source.FieldsOf(index)) ++sample.fields[field];
  }
  sample.several_lines = source.texts_of_several_lines() - lines;
  return sample;
}

std::int64_t CountOf(const RecordSample& sample, Skip cause) { return sample.skips[cause]; }

/// ".cls, .webp" and, of .json members, the names that have texts; those that tell of captions
/// first.
struct Held {
  std::vector<std::string> members, texts;
};

bool TellsOfCaptions(const std::string& name) {
  return name.find("caption") != name.npos || name.find("text") != name.npos;
}

Held HeldBy(const RecordSample& sample) {
  Held held;
  for (const auto& [field, count] : sample.fields) {
    if (field == kOtherLabel) continue;
    const bool is_text = field.starts_with(kJson);
    (is_text ? held.texts : held.members)
        .push_back(is_text ? field.substr(kJson.size()) : "." + field);
  }
  std::stable_partition(held.texts.begin(), held.texts.end(), TellsOfCaptions);
  for (auto* names : {&held.members, &held.texts}) {
    if (names->size() <= kNamedFields) continue;
    names->resize(kNamedFields);
    names->push_back("…");
  }
  return held;
}

std::string LackOfCaptions(const RecordSample& sample, const SourceOptions& options,
                           const std::string& option) {
  const Held held = HeldBy(sample);
  std::string text =
      held.members.empty() && options.captions.empty() ? std::string("has a caption")
      : options.captions.empty()
          ? std::string("has a caption (.txt, or \"captions\" or \"caption\" in the .json)")
          : fmt::format("has a caption at the given keys{}",
                        option.empty() ? "" : " (" + option + ")");
  if (!held.members.empty()) {
    text += fmt::format(". They have {}", fmt::join(held.members, ", "));
  }
  if (!held.texts.empty()) {
    text += fmt::format("; the .json has {}", fmt::join(held.texts, ", "));
    if (!option.empty()) {
      const std::string& first = held.texts.front();
      const std::string key = "json." + (TellsOfCaptions(first) ? first : std::string("NAME"));
      text += option.starts_with("--") ? fmt::format(". Add {} {}", option, key)
                                       : fmt::format(". Set {}='[\"{}\"]'", option, key);
    }
  }
  if (sample.OnlyLabels()) {
    text += ". Images with labels are for fastclip eval zeroshot and eval linear";
  }
  return text;
}

}  // namespace

bool RecordSample::OnlyLabels() const {
  std::int64_t with_label = labelled;
  for (const char* field : {kMemberLabel, kOtherLabel}) {
    const auto found = fields.find(field);
    if (found != fields.end()) with_label = std::max(with_label, found->second);
  }
  return captioned == 0 && 2 * with_label > records;
}

std::vector<RecordSample> SampleRecords(const RecordSource& source) {
  const std::vector<std::int64_t> sizes = source.part_sizes();
  const std::int64_t looks = std::clamp<std::int64_t>(
      kLooksAtAll / std::max<std::int64_t>(std::ssize(sizes), 1), 1, kLooks);
  std::vector<RecordSample> samples;
  std::int64_t first = 0;
  for (const std::int64_t size : sizes) {
    RecordSample& sample = samples.emplace_back(SamplePart(source, first, size, looks));
    sample.part = std::ssize(samples) - 1;
    first += size;
  }
  return samples;
}

std::string DescribeContent(const RecordSample& sample) {
  std::string labels;
  if (sample.labelled > 0) {
    labels = sample.least_label == sample.most_label
                 ? fmt::format("a single label ({})", sample.least_label)
                 : fmt::format("labels ({} to {})", sample.least_label, sample.most_label);
  } else if (sample.fields.contains(kMemberLabel) || sample.fields.contains(kOtherLabel)) {
    labels = "class names";
  }
  std::string text = "images";
  if (sample.captioned > 0) {
    text += labels.empty() ? " with captions" : " with captions and " + labels;
    if (sample.several_lines > 0) text += fmt::format(" (some .txt have several lines)");
  } else {
    text += labels.empty() ? " without captions" : " with " + labels + ", no captions";
  }
  SkipCounts wrong = sample.skips;
  if (sample.OnlyLabels()) wrong[Skip::kNoCaption] = 0;
  if (const std::string skips = DescribeSkips(wrong); !skips.empty()) {
    text += fmt::format("; {} of {} checked", skips, sample.records);
  }
  return text;
}

std::string DescribeLack(const std::vector<RecordSample>& samples, const std::string& list,
                         const SourceOptions& options, const std::string& option) {
  for (const RecordSample& sample : samples) {
    // What is gone, cut or changed says nothing of the others.
    const std::int64_t lacking = CountOf(sample, Skip::kNoCaption) +
                                 CountOf(sample, Skip::kNoImage) + CountOf(sample, Skip::kBadRow) +
                                 CountOf(sample, Skip::kBadJson);
    if (sample.records == 0 || lacking < sample.records) continue;
    const std::string part = SplitList(list).at(static_cast<std::size_t>(sample.part));
    const std::string looked =
        fmt::format("{}: no record ({} of {} checked)", part, sample.records, sample.size);
    if (2 * CountOf(sample, Skip::kNoCaption) > lacking) {
      return fmt::format("{} {}", looked, LackOfCaptions(sample, options, option));
    }
    const Held held = HeldBy(sample);
    return fmt::format("{} can be used ({}){}", looked, DescribeSkips(sample.skips),
                       held.members.empty()
                           ? "; fastclip shards lint lists them"
                           : fmt::format(". They have {}", fmt::join(held.members, ", ")));
  }
  return "";
}

}  // namespace fastclip

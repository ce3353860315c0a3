#include "pipeline/sources/sample_advice.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstddef>
#include <string_view>

#include "pipeline/base/suggested_command.h"
#include "pipeline/shards/shard_list.h"
#include "pipeline/sources/folder_mistakes.h"
#include "pipeline/sources/skip_advice.h"

namespace fastclip {
namespace {

constexpr std::size_t kNamedFields = 12;
constexpr std::string_view kJson = "json.";

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
    if (field == kLabelField) continue;
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

std::string LackOfCaptions(const RecordSample& sample, const std::string& part,
                           const SourceOptions& options, const std::string& option) {
  if (const std::string file = FilesMeant(part); !file.empty()) {
    return fmt::format(
        "has a caption: it is a folder, and its subfolders are read as classes. Name the table or "
        "the shards in it, as in '{}/{}'",
        part, file);
  }
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
    text += fmt::format(
        ". Images with labels are for {} and eval linear, or for {} with adapt.task = "
        "\"classify\"",
        SuggestedCommand("eval zeroshot"), SuggestedCommand("adapt"));
  }
  return text;
}

}  // namespace

std::string DescribeLack(const std::vector<RecordSample>& samples, const std::string& list,
                         const SourceOptions& options, const std::string& option) {
  for (const RecordSample& sample : samples) {
    // What is gone, cut or changed says nothing of the others.
    std::int64_t lacking = 0;
    Skip most = Skip::kNoCaption;
    for (const Skip cause : {Skip::kNoCaption, Skip::kNoImage, Skip::kBadRow, Skip::kBadJson,
                             Skip::kBadCaption, Skip::kTooLarge}) {
      lacking += sample.skips[cause];
      if (sample.skips[cause] > sample.skips[most]) most = cause;
    }
    // An evaluation takes its run's formats.
    const std::string formats_option = option.starts_with("--") ? "" : "pipeline.formats";
    const auto off = FormatsOff(sample, options.formats);
    std::int64_t unread = 0;
    for (const auto& [kind, count] : off) unread += count;
    if (sample.records == 0 || lacking + unread < sample.records) continue;
    const std::string part = SplitList(list).at(static_cast<std::size_t>(sample.part));
    const std::string looked =
        fmt::format("{}: no record ({} of {} checked)", part, sample.records, sample.size);
    if (unread > lacking) {
      // Of empty images there is nothing to say.
      const auto weight = [](auto& kind) { return kind.first == kEmptyImage ? 0 : kind.second; };
      const auto first = std::ranges::max_element(off, {}, weight);
      const char* be = first->second == 1 ? "is" : "are";
      if (first->first == kEmptyImage) {
        return fmt::format("{} can be used: {} of their images {} empty", looked, first->second,
                           be);
      }
      const bool unknown = first->first == kNoImageFormat;
      return fmt::format("{} can be used: {} of their images {} {}{}{}", looked, first->second, be,
                         first->first, unknown ? ": " : ". ",
                         AdviceOnFormat(first->first, options.formats, formats_option));
    }
    if (2 * sample.skips[Skip::kNoCaption] > lacking) {
      return fmt::format("{} {}", looked, LackOfCaptions(sample, part, options, option));
    }
    if (const std::string advice = AdviceOnCause(most, part); !advice.empty()) {
      return fmt::format("{} can be used ({}): {}", looked, DescribeSkips(sample.skips), advice);
    }
    const Held held = HeldBy(sample);
    const std::string format =
        most == Skip::kNoImage ? MemberOff(sample, options.formats) : std::string();
    return fmt::format(
        "{} can be used ({}){}{}", looked, DescribeSkips(sample.skips),
        held.members.empty() ? fmt::format("; {} lists them", SuggestedCommand("shards lint"))
                             : fmt::format(". They have {}", fmt::join(held.members, ", ")),
        format.empty() ? "" : ". " + AdviceOnFormat(format, options.formats, formats_option));
  }
  return "";
}

}  // namespace fastclip

#include "pipeline/sources/record_sample.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

#include "pipeline/base/counter_random.h"
#include "pipeline/records/picture_format.h"
#include "pipeline/shards/shard_list.h"
#include "pipeline/sources/table_layout.h"

namespace fastclip {
namespace {

constexpr std::int64_t kLooks = 64;
constexpr std::int64_t kLooksAtAll = 1024;
constexpr std::size_t kNamedFields = 12;
constexpr std::string_view kJson = "json.";
/// Fields that are labels: a member's, and what tables and folders tell.
constexpr const char* kMemberLabel = "cls";
constexpr const char* kOtherLabel = "label";

constexpr const char* kNoImages = "no images";  // in place of a kind

/// The kind of an image by its first bytes; "" if they are of none that is known.
std::string KindOfImage(std::span<const std::byte> image) {
  const std::string_view bytes(reinterpret_cast<const char*>(image.data()), image.size());
  const auto box = [&](std::string_view brand) { return bytes.substr(4).starts_with(brand); };
  if (bytes.starts_with("\xFF\xD8\xFF")) return "JPEG";
  if (bytes.starts_with("\x89PNG")) return "PNG";
  if (bytes.starts_with("RIFF") && bytes.size() > 12 && bytes.substr(8, 4) == "WEBP") return "WebP";
  if (bytes.starts_with("GIF8")) return "GIF";
  if (bytes.starts_with("BM")) return "BMP";
  if (bytes.starts_with("II*") || bytes.starts_with("MM")) return "TIFF";
  if (bytes.size() > 12 && (box("ftypavif") || box("ftypavis"))) return "AVIF";
  if (bytes.size() > 12 && (box("ftyphei") || box("ftypmif1"))) return "HEIC";
  return "";
}

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
    if (record.skip) {
      ++sample.skips[*record.skip];
    } else {
      ++sample.kinds[KindOfImage(record.image)];
    }
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

/// Of a folder of classes: the first table in it, or else its shards, which may be meant; "" if
/// there are none.
std::string FilesIn(const std::string& folder) {
  std::string table;
  bool shards = false;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(folder, none)) {
    const std::string name = entry.path().filename();
    shards |= name.ends_with(".tar");
    if (TableFormatOf(name) && (table.empty() || name < table)) table = name;
  }
  return table.empty() && shards ? "*.tar" : table;
}

std::string LackOfCaptions(const RecordSample& sample, const std::string& part,
                           const SourceOptions& options, const std::string& option) {
  if (const std::string file = FilesIn(part); !file.empty()) {
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
    text += ". Images with labels are for fastclip eval zeroshot and eval linear";
  }
  return text;
}

/// What is wrong with records that cannot be used for that reason, and what to do.
std::string AdviceOnCause(Skip cause, const std::string& part) {
  switch (cause) {
    case Skip::kBadCaption:
      return TableFormatOf(part)
                 ? "the captions are not UTF-8; save the table as UTF-8 (iconv -f LATIN1 -t UTF-8)"
                 : "the captions are not UTF-8; write them as UTF-8";
    case Skip::kTooLarge:
      return "over the limit on the bytes of a record or its captions; raise "
             "data.max_record_bytes, or store smaller images";
    default:
      return "";
  }
}

/// The formats of the images of a sample's members that `formats` does not have, as ".gif".
std::string MembersOff(const RecordSample& sample, const PictureFormats& formats) {
  for (const auto& [field, count] : sample.fields) {
    const auto format = FormatOfExtension(field);
    if (format && !formats.Has(*format)) return field;
  }
  return "";
}

}  // namespace

std::map<std::string, std::int64_t> FormatsOff(const RecordSample& sample,
                                               const PictureFormats& formats) {
  std::map<std::string, std::int64_t> off;
  for (const auto& [kind, count] : sample.kinds) {
    const auto format = FormatOfExtension(kind);
    if (!(format && formats.Has(*format))) off.emplace(kind.empty() ? kNoImages : kind, count);
  }
  return off;
}

std::string AdviceOnFormat(const std::string& kind, const PictureFormats& formats,
                           const std::string& option) {
  if (kind == kNoImages) {
    return "their bytes begin like none of JPEG, PNG, WebP, GIF and BMP; look at one of the files";
  }
  const auto format = FormatOfExtension(kind);
  if (!format) return fmt::format("{} cannot be read; convert the images to JPEG or PNG", kind);
  if (option.starts_with("--")) {
    return fmt::format("{} is not read (pipeline.formats of the run)", kind);
  }
  std::vector<std::string> names;
  for (const char* name : {"jpeg", "png", "webp", "gif", "bmp"}) {
    const auto one = FormatOfExtension(name);
    if (one == format || formats.Has(*one)) names.push_back(fmt::format("\"{}\"", name));
  }
  return fmt::format("{} is off; add it with pipeline.formats='[{}]'", kind, fmt::join(names, ","));
}

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
  // The words before say so.
  if (sample.OnlyLabels() || wrong[Skip::kNoCaption] == sample.records) wrong[Skip::kNoCaption] = 0;
  if (const std::string skips = DescribeSkips(wrong); !skips.empty()) {
    text += fmt::format("; {} of {} checked", skips, sample.records);
  }
  return text;
}

std::string DescribeLack(const std::vector<RecordSample>& samples, const std::string& list,
                         const SourceOptions& options, const std::string& option) {
  for (const RecordSample& sample : samples) {
    // What is gone, cut or changed says nothing of the others.
    std::int64_t lacking = 0;
    Skip most = Skip::kNoCaption;
    for (const Skip cause : {Skip::kNoCaption, Skip::kNoImage, Skip::kBadRow, Skip::kBadJson,
                             Skip::kBadCaption, Skip::kTooLarge}) {
      lacking += CountOf(sample, cause);
      if (CountOf(sample, cause) > CountOf(sample, most)) most = cause;
    }
    const auto off = FormatsOff(sample, options.formats);
    std::int64_t unread = 0;
    for (const auto& [kind, count] : off) unread += count;
    if (sample.records == 0 || lacking + unread < sample.records) continue;
    const std::string part = SplitList(list).at(static_cast<std::size_t>(sample.part));
    const std::string looked =
        fmt::format("{}: no record ({} of {} checked)", part, sample.records, sample.size);
    if (unread > lacking) {
      const auto first = std::ranges::max_element(off, {}, [](auto& kind) { return kind.second; });
      const bool unknown = first->first == kNoImages;
      return fmt::format("{} can be used: {} of {} are {}{}{}", looked, first->second,
                         unknown ? "them" : "their images", first->first, unknown ? ": " : ". ",
                         AdviceOnFormat(first->first, options.formats, option));
    }
    if (2 * CountOf(sample, Skip::kNoCaption) > lacking) {
      return fmt::format("{} {}", looked, LackOfCaptions(sample, part, options, option));
    }
    if (const std::string advice = AdviceOnCause(most, part); !advice.empty()) {
      return fmt::format("{} can be used ({}): {}", looked, DescribeSkips(sample.skips), advice);
    }
    const Held held = HeldBy(sample);
    const std::string format =
        most == Skip::kNoImage ? MembersOff(sample, options.formats) : std::string();
    return fmt::format(
        "{} can be used ({}){}{}", looked, DescribeSkips(sample.skips),
        held.members.empty() ? "; fastclip shards lint lists them"
                             : fmt::format(". They have {}", fmt::join(held.members, ", ")),
        format.empty() ? "" : ". " + AdviceOnFormat(format, options.formats, option));
  }
  return "";
}

}  // namespace fastclip

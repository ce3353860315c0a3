#include "pipeline/sources/record_sample.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>

#include "pipeline/base/counter_random.h"
#include "pipeline/base/printable.h"
#include "pipeline/sources/table_layout.h"

namespace fastclip {
namespace {

constexpr std::int64_t kLooks = 64;
constexpr std::int64_t kLooksAtAll = 1024;
/// The member that is a label.
constexpr const char* kMemberLabel = "cls";

/// The kind of an image by its first bytes; "" if they are of none that is known.
std::string KindOfImage(std::span<const std::byte> image) {
  const std::string_view bytes(reinterpret_cast<const char*>(image.data()), image.size());
  if (bytes.empty()) return kEmptyImage;
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

/// As somebody who looks for it would name it.
std::string NameOf(const Record& record, const RecordOrigin& origin) {
  const std::string key(record.key);
  if (key.empty()) {
    return fmt::format("{} {} of {}", TableFormatOf(origin.file) ? "row" : "byte", origin.offset,
                       Printable(origin.file));
  }
  if (TableFormatOf(origin.file)) return Printable(key);
  return Printable(origin.file.ends_with(key) ? origin.file
                                              : fmt::format("'{}' in {}", key, origin.file));
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
    const std::string kind = record.skip ? SkipName(*record.skip) : KindOfImage(record.image);
    if (record.skip) {
      ++sample.skips[*record.skip];
    } else {
      ++sample.kinds[kind];
    }
    if (!sample.examples.contains(kind)) {
      sample.examples.emplace(kind, NameOf(record, source.OriginOf(index)));
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

}  // namespace

bool RecordSample::OnlyLabels() const {
  std::int64_t with_label = labelled;
  for (const char* field : {kMemberLabel, kLabelField}) {
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

std::string DescribeBad(const std::vector<RecordSample>& samples) {
  std::int64_t looked = 0, bad = 0;
  std::map<std::string, std::int64_t> counts;
  std::map<std::string, std::string> examples;
  const auto count = [&](const std::string& cause, std::int64_t records, const RecordSample& of) {
    if (records == 0) return;
    counts[cause] += records;
    bad += records;
    examples.emplace(cause, of.examples.at(cause));
  };
  for (const RecordSample& sample : samples) {
    looked += sample.records;
    for (const Skip cause : kAllSkips) count(SkipName(cause), sample.skips[cause], sample);
    for (const auto& [kind, records] : sample.kinds) {
      if (kind.empty() || kind == kEmptyImage) count(kind, records, sample);
    }
  }
  if (bad == 0) return "";
  std::string text;
  for (const auto& [cause, records] : counts) {
    text += fmt::format("{}{} {} (as {})", text.empty() ? "" : ", ", records,
                        cause.empty() ? "of no known image format" : cause, examples.at(cause));
  }
  return fmt::format("{} of {} checked records cannot be used: {}", bad, looked, text);
}

std::string DescribeContent(const RecordSample& sample) {
  std::string labels;
  if (sample.labelled > 0) {
    labels = sample.least_label == sample.most_label
                 ? fmt::format("a single label ({})", sample.least_label)
                 : fmt::format("labels ({} to {})", sample.least_label, sample.most_label);
  } else if (sample.fields.contains(kMemberLabel) || sample.fields.contains(kLabelField)) {
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

}  // namespace fastclip

#include "pipeline/sources/skip_advice.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "pipeline/sources/table_layout.h"

namespace fastclip {

std::map<std::string, std::int64_t> FormatsOff(const RecordSample& sample,
                                               const PictureFormats& formats) {
  std::map<std::string, std::int64_t> off;
  for (const auto& [kind, count] : sample.kinds) {
    const auto format = FormatOfExtension(kind);
    if (!(format && formats.Has(*format))) off.emplace(kind.empty() ? kNoImageFormat : kind, count);
  }
  return off;
}

std::string MemberOff(const RecordSample& sample, const PictureFormats& formats) {
  for (const auto& [field, count] : sample.fields) {
    const auto format = FormatOfExtension(field);
    if (format && !formats.Has(*format)) return field;
  }
  return "";
}

std::string AdviceOnFormat(const std::string& kind, const PictureFormats& formats,
                           const std::string& option) {
  if (kind == kNoImageFormat) {
    return "not a JPEG, PNG, WebP, GIF or BMP; look at one of the files";
  }
  if (kind == kEmptyImage) return "empty";
  const auto format = FormatOfExtension(kind);
  if (!format) return fmt::format("{} cannot be read; convert the images to JPEG or PNG", kind);
  if (option.empty()) return fmt::format("{} is not read (pipeline.formats of the run)", kind);
  std::vector<std::string> names;
  for (const char* name : {"jpeg", "png", "webp", "gif", "bmp"}) {
    const auto one = FormatOfExtension(name);
    if (one == format || formats.Has(*one)) names.emplace_back(name);
  }
  return option.starts_with("--")
             ? fmt::format("{} is off; add it with {} {}", kind, option, fmt::join(names, ","))
             : fmt::format("{} is off; add it with {}='[\"{}\"]'", kind, option,
                           fmt::join(names, "\",\""));
}

std::vector<std::string> AdviceOnFormats(const std::vector<RecordSample>& samples,
                                         const PictureFormats& formats, const std::string& option) {
  std::int64_t looked = 0;
  std::map<std::string, std::int64_t> off;
  std::map<std::string, std::string> examples;
  for (const RecordSample& sample : samples) {
    for (const auto& [kind, count] : FormatsOff(sample, formats)) {
      off[kind] += count;
      const auto found = sample.examples.find(kind == kNoImageFormat ? "" : kind);
      if (found != sample.examples.end()) examples.emplace(kind, found->second);
    }
    looked += sample.records;
  }
  std::vector<std::string> lines;
  for (const auto& [kind, count] : off) {
    lines.push_back(fmt::format("{} of {} checked images {} skipped (as {}): {}", count, looked,
                                count == 1 ? "is" : "are", examples[kind],
                                AdviceOnFormat(kind, formats, option)));
  }
  return lines;
}

std::string AdviceOnCause(Skip cause, const std::string& file) {
  switch (cause) {
    case Skip::kBadCaption:
      return TableFormatOf(file)
                 ? "the captions are not UTF-8; save the table as UTF-8 (iconv -f LATIN1 -t UTF-8)"
                 : "the captions are not UTF-8; write them as UTF-8";
    case Skip::kTooLarge:
      return "over the limit on the bytes of a record or its captions; raise "
             "data.max_record_bytes, or store smaller images";
    default:
      return "";
  }
}

std::vector<std::string> AdviceOnSkips(const SkipCounts& skips, const RecordSource& source,
                                       const PictureFormats& formats, const std::string& option) {
  std::vector<std::string> lines;
  if (skips.total() > skips[Skip::kBadCaption]) {
    const std::vector<RecordSample> samples = SampleRecords(source);
    lines = AdviceOnFormats(samples, formats, option);
    for (const RecordSample& sample : samples) {
      const std::string member = MemberOff(sample, formats);
      if (member.empty() || sample.skips[Skip::kNoImage] == 0) continue;
      lines.push_back(AdviceOnFormat(member, formats, option));
      break;
    }
  }
  if (skips[Skip::kBadCaption] > 0) {
    lines.push_back(AdviceOnCause(Skip::kBadCaption, source.OriginOf(SampleIndex{0}).file));
  }
  return lines;
}

}  // namespace fastclip

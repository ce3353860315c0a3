#include "pipeline/sources/open_source.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <numeric>
#include <optional>
#include <set>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>

#include "pipeline/base/printable.h"
#include "pipeline/base/suggested_command.h"
#include "pipeline/files/file_system.h"
#include "pipeline/shards/index_files.h"
#include "pipeline/shards/shard_list.h"
#include "pipeline/shards/tar_source.h"
#include "pipeline/shards/tar_walk.h"
#include "pipeline/sources/class_folder.h"
#include "pipeline/sources/concatenated_source.h"
#include "pipeline/sources/image_folder_source.h"
#include "pipeline/sources/synthetic_source.h"
#include "pipeline/sources/table_source.h"

namespace fastclip {
namespace {

constexpr std::string_view kSynthetic = "synthetic:";
constexpr std::int64_t kMaxSynthetic = 1'000'000'000'000;

std::unique_ptr<RecordSource> OpenSynthetic(const std::string& part, const SourceOptions& options) {
  const std::string_view digits = std::string_view(part).substr(kSynthetic.size());
  std::int64_t size = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), size);
  if (error != std::errc() || end != digits.data() + digits.size() || size < 1 ||
      size > kMaxSynthetic) {
    throw std::runtime_error(
        fmt::format("'{}': use synthetic:N with N from 1 to {}", part, kMaxSynthetic));
  }
  if (options.labels && !options.labels->empty()) {
    throw std::runtime_error(
        fmt::format("'{}': the label is the shape, 0 to 5; leave out the label key '{}'", part,
                    *options.labels));
  }
  return std::make_unique<SyntheticSource>(size, options.labels.has_value());
}

void RefuseCaptionKeys(const std::string& part, const SourceOptions& options) {
  if (options.captions.empty()) return;
  throw std::runtime_error(fmt::format(
      "'{}': caption keys are for tar shards; leave them out, or pack the table with {}", part,
      SuggestedCommand("shards convert")));
}

void RefuseChecksums(const std::string& part, const SourceOptions& options) {
  if (!options.add_checksums && !options.verify_checksums) return;
  throw std::runtime_error(
      fmt::format("'{}': checksums are for tar shards; pack it with {}, or leave them out", part,
                  SuggestedCommand("shards convert")));
}

void RefuseRemote(const std::string& part) {
  if (IsUri(part) && HasFileSystem(part)) return;
  for (const std::string_view scheme :
       {"http://", "https://", "s3://", "gs://", "hdfs://", "pipe:"}) {
    if (part.starts_with(scheme)) {
      throw std::runtime_error(fmt::format(
          "'{}': {} is not supported; copy the shards to a local or mounted folder", part, scheme));
    }
  }
}

/// A kind of source that a part of a list names by a prefix, as in "synthetic:100".
struct PrefixedKind {
  std::string_view prefix;  ///< with its colon
  std::unique_ptr<RecordSource> (*open)(const std::string& part, const SourceOptions& options);
};
constexpr PrefixedKind kPrefixedKinds[] = {
    {kSynthetic, OpenSynthetic},
};

const PrefixedKind* PrefixedKindOf(std::string_view part) {
  for (const PrefixedKind& kind : kPrefixedKinds) {
    if (part.starts_with(kind.prefix)) return &kind;
  }
  return nullptr;
}

bool IsFolder(const std::string& part) {
  try {
    return HasFileSystem(part) && FileSystemOf(part).FindFolder(part).has_value();
  } catch (const std::system_error&) {
    return false;  // opening it as a file says what is wrong
  }
}

PartInfo Describe(const std::string& part, const char* kind, const IndexedFiles& files) {
  PartInfo info;
  info.part = part;
  info.kind = kind;
  info.files = static_cast<std::int64_t>(files.paths.size());
  for (const ManifestEntry& entry : files.manifest.entries()) {
    const std::uint64_t stamp[] = {info.stamps_hash, static_cast<std::uint64_t>(entry.stamp.size),
                                   static_cast<std::uint64_t>(entry.stamp.mtime_ns)};
    info.stamps_hash = XXH3_64bits(stamp, sizeof(stamp));
    info.bytes += entry.stamp.size;
    info.damaged_bytes += entry.damaged * kTarBlock;
    info.checksummed += entry.checksums_hash ? 1 : 0;
  }
  info.manifest = files.manifest_path;
  info.walked = files.walked;
  info.warnings = files.warnings;
  info.notes = files.notes;
  return info;
}

void AddListed(const IndexedFiles& files, std::vector<ListedFile>& listed) {
  for (std::size_t i = 0; i < files.paths.size(); ++i) {
    const ManifestEntry& entry = files.manifest.entries()[i];
    listed.push_back({.name = entry.name,
                      .path = files.paths[i],
                      .records = entry.count,
                      .content_hash = entry.content_hash});
  }
}

void SayUnused(const SourceOptions& options, PartInfo& info) {
  if (!options.manifest.empty() && (info.kind == "synthetic" || info.kind == "folder of classes")) {
    info.notes.push_back("it has no manifest; the given one is ignored");
  }
}

std::unique_ptr<RecordSource> OpenPart(const std::string& part, const SourceOptions& options,
                                       PartInfo& info, std::vector<ListedFile>& listed) {
  if (const PrefixedKind* kind = PrefixedKindOf(part)) {
    RefuseCaptionKeys(part, options);
    info.part = part;
    info.kind = kind->prefix.substr(0, kind->prefix.size() - 1);
    SayUnused(options, info);
    RefuseChecksums(part, options);
    return kind->open(part, options);
  }
  RefuseRemote(part);
  if (IsFolder(part)) {
    auto folder = std::make_unique<ImageFolderSource>(part, options);
    info.part = part;
    info.kind = "folder of classes";
    info.details = folder->description();
    info.files = folder->size();
    info.warnings = folder->warnings();
    SayUnused(options, info);
    return folder;
  }
  std::vector<std::string> paths = ExpandPart(part);
  if (TableFormatOf(paths.front())) {
    RefuseCaptionKeys(part, options);
    if (paths.size() > 1)
      throw std::runtime_error(fmt::format("'{}': several tables; join them with '::'", part));
    RefuseChecksums(part, options);
    auto table = TableSource::Open(part, paths.front(), options);
    if (options.refuse_missing_images) {
      if (const auto missing = table->FindMissingImages()) {
        throw std::runtime_error(fmt::format("'{}': {}", part, *missing));
      }
    }
    info = Describe(part, "table", table->files());
    AddListed(table->files(), listed);
    info.details = table->columns();
    std::ranges::move(table->Findings(), std::back_inserter(info.warnings));
    return table;
  }
  IndexedFiles files = IndexFiles(part, std::move(paths), FileKind::kTar, options, TarSource::Walk);
  info = Describe(part, "tar", files);
  AddListed(files, listed);
  SayUnused(options, info);
  auto tars = std::make_unique<TarSource>(std::move(files), options);
  std::ranges::move(tars->Findings(), std::back_inserter(info.warnings));
  return tars;
}

}  // namespace

OpenedSource OpenSourceWithInfo(const std::string& list, const SourceOptions& options) {
  const std::vector<std::string> parts = SplitList(list);
  OpenedSource opened;
  std::vector<std::unique_ptr<RecordSource>> sources;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    SourceOptions own = options;
    if (!own.manifest.empty() && parts.size() > 1) own.manifest += fmt::format(".{}", i);
    PartInfo& info = opened.parts.emplace_back();
    const std::size_t before = opened.files.size();
    sources.push_back(OpenPart(parts[i], own, info, opened.files));
    for (ListedFile& file : std::span(opened.files).subspan(before))
      file.part = static_cast<int>(i);
    info.records = sources.back()->size();
    info.hash = sources.back()->hash();
    if (info.records == 0) {
      throw std::runtime_error(fmt::format(
          "'{}': no records in {}; {}", parts[i], Counted(info.files, "file"),
          info.kind == "table" ? "a table needs rows below its first line"
                               : "members of a WebDataset are named KEY.jpg and KEY.txt"));
    }
  }
  const auto is_table = [](const PartInfo& part) { return part.kind == "table"; };
  if (options.table.any() && std::ranges::none_of(opened.parts, is_table)) {
    opened.parts.front().notes.push_back(
        "image_key, caption_key and separator are for tables and are ignored here");
  }
  opened.source = sources.size() == 1 ? std::move(sources.front())
                                      : std::make_unique<ConcatenatedSource>(std::move(sources));
  return opened;
}

std::string AbsoluteList(const std::string& list, const std::string& folder) {
  if (list.empty()) return list;
  std::string all;
  for (const std::string& part : SplitList(list)) {
    if (!all.empty()) all += "::";
    all += PrefixedKindOf(part) != nullptr ? part : AbsolutePart(part, folder);
  }
  return all;
}

std::vector<std::string> ClassesOfList(const std::string& list) {
  std::set<std::string> classes;
  for (const std::string& part : SplitList(list)) {
    if (!IsFolder(part)) return {};
    std::ranges::move(ClassesOfFolder(part), std::inserter(classes, classes.end()));
  }
  return {classes.begin(), classes.end()};
}

std::vector<std::string> FolderLines(const std::vector<PartInfo>& parts) {
  std::vector<std::string> lines;
  for (const PartInfo& part : parts) {
    if (part.kind == "folder of classes")
      lines.push_back(fmt::format("{}: {}", Printable(part.part), Printable(part.details)));
  }
  return lines;
}

std::vector<std::string> WarningLines(const std::vector<PartInfo>& parts) {
  static constexpr std::size_t kShown = 6;
  std::vector<std::string> lines;
  std::size_t hidden = 0;
  const auto add = [&](const PartInfo& part, const std::vector<std::string>& texts) {
    for (const std::string& text : texts) {
      if (lines.size() < kShown) {
        lines.push_back(fmt::format("{}: {}", Printable(part.part), Printable(text)));
      } else {
        ++hidden;
      }
    }
  };
  for (const PartInfo& part : parts) {
    add(part, part.warnings);
    add(part, part.notes);
  }
  if (hidden > 0) {
    lines.push_back(
        fmt::format("and {} more; {} lists all of them", hidden, SuggestedCommand("shards info")));
  }
  return lines;
}

std::unique_ptr<RecordSource> OpenSource(const std::string& list, const SourceOptions& options) {
  return OpenSourceWithInfo(list, options).source;
}

}  // namespace fastclip

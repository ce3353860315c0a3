#include "pipeline/sources/image_folder_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <span>
#include <stdexcept>
#include <utility>

#include "pipeline/base/printable.h"
#include "pipeline/files/file_system.h"
#include "pipeline/files/stream_hash.h"
#include "pipeline/records/block_builder.h"
#include "pipeline/records/class_names.h"
#include "pipeline/records/image_file.h"
#include "pipeline/sources/table_layout.h"

namespace fastclip {
namespace {

namespace fs = std::filesystem;

/// Classes whose pictures are kept listed: threads read neighbours.
constexpr std::size_t kListed = 64;

/// Why a folder is none of classes, and what was meant.
std::string NoClasses(const std::string& folder) {
  std::string holds = "has no subfolders";
  std::vector<std::string> names;
  FileSystemOf(folder).List(folder, [&](const FolderEntry& entry) { names.push_back(entry.name); });
  for (const std::string& name : names) {
    if (name.ends_with(".tar")) {
      return fmt::format("{0}: is a folder; list its shards, as in '{0}/*.tar'", folder);
    }
    if (TableFormatOf(name)) {
      return fmt::format("{0}: is a folder with a table; use '{0}/{1}'", folder, name);
    }
    const std::size_t dot = name.rfind('.');
    if (dot != name.npos && FormatOfExtension(std::string_view(name).substr(dot + 1))) {
      holds = "has images but no subfolders";
    }
  }
  return fmt::format(
      "{0}: the folder {1}. A folder of classes, for evaluation, has one subfolder of images per "
      "class. To train on images, name a table of their paths and captions, as in '{0}/pairs.csv' "
      "with a first line filepath,caption",
      folder, holds);
}

/// Hugging Face's layout: a folder a split, each with its table of captions.
void RefuseFolderOfTables(const std::string& folder, const std::string& name) {
  for (const char* table : {"metadata.jsonl", "metadata.csv"}) {
    std::error_code absent;
    const std::string path = fmt::format("{}/{}/{}", folder, name, table);
    if (!fs::exists(path, absent)) continue;
    throw std::runtime_error(
        fmt::format("{}: its folder '{}' has a table of captions; use '{}'", folder, name, path));
  }
}

void RefuseOptions(const std::string& folder, const SourceOptions& options) {
  const auto refuse = [&](bool wrong, const char* reason) {
    if (wrong) throw std::runtime_error(fmt::format("{}: a folder of classes {}", folder, reason));
  };
  refuse(options.labels && !options.labels->empty(),
         "takes labels from its folder names; leave out the label key");
  refuse(!options.captions.empty(), "has no captions; leave out the caption keys");
  refuse(options.add_checksums || options.verify_checksums,
         "has no checksums (only tar shards have them); leave them out");
}

}  // namespace

ImageFolderSource::ImageFolderSource(const std::string& folder, const SourceOptions& options)
    : folder_(folder.size() > 1 && folder.ends_with('/') ? folder.substr(0, folder.size() - 1)
                                                         : folder),
      formats_(options.formats),
      max_record_bytes_(options.max_record_bytes),
      labelled_(options.labels.has_value()),
      names_(options.class_names),
      first_index_(1, 0),
      listed_(kListed) {
  RefuseOptions(folder_, options);
  FolderTally left_out;
  std::vector<std::string> empty, nested;
  for (std::string& name : ClassesOfFolder(folder_, &left_out)) {
    classes_.push_back({.name = std::move(name)});
    const std::size_t which = classes_.size() - 1;
    if (!labelled_) RefuseFolderOfTables(folder_, classes_[which].name);
    ClassFiles files = ListClass(folder_, classes_[which].name, formats_);
    classes_[which].hash = files.Hash();
    first_index_.push_back(first_index_.back() + std::ssize(files.names));
    if (files.names.empty()) empty.push_back(classes_[which].name);
    if (!files.names.empty() && !files.has_direct) nested.push_back(classes_[which].name);
    left_out.Add(files.tally);
    if (which < kListed) listed_.Put(which, std::move(files));
  }
  if (size() == 0) throw std::runtime_error(NoClasses(folder_));
  NumberClasses(options);
  if (const std::string text = left_out.Describe(); !text.empty()) {
    description_ += "; left out: " + text;
  }
  if (!empty.empty()) {
    warnings_.push_back(fmt::format("classes without readable images: {} of {} (the first: '{}')",
                                    empty.size(), classes_.size(), empty.front()));
  }
  if (nested.size() + empty.size() == classes_.size()) {
    warnings_.push_back(
        fmt::format("all images are in subfolders of the class folders; did you mean '{}/{}'?",
                    folder_, nested.front()));
  }
}

void ImageFolderSource::NumberClasses(const SourceOptions& options) {
  const auto count = std::ssize(classes_);
  std::int64_t named = 0;
  if (options.class_names) {
    for (Class& c : classes_) {
      c.label = options.class_names->Find(c.name).value_or(-1);
      named += c.label >= 0 ? 1 : 0;
    }
    if (named == 0 && options.class_names->size() > 0 && options.class_names->size() != count) {
      throw std::runtime_error(fmt::format(
          "{}: no folder has the name of a class ({}, the first: '{}'; number of classes: {}), so "
          "folders cannot be matched to classes; rename the folders",
          folder_, Counted(count, "folder"), classes_.front().name, options.class_names->size()));
    }
  }
  if (named > 0) {
    description_ =
        fmt::format("{}, {} of them named like a class", Counted(count, "folder"), named);
    return;
  }
  for (std::int64_t i = 0; i < count; ++i) classes_[static_cast<std::size_t>(i)].label = i;
  description_ = fmt::format("{} {}, numbered by folder name in sorted order", count,
                             count == 1 ? "class" : "classes");
}

std::size_t ImageFolderSource::ClassOf(SampleIndex index) const {
  const auto above = std::upper_bound(first_index_.begin(), first_index_.end(), ToInt(index));
  return static_cast<std::size_t>(above - first_index_.begin()) - 1;
}

std::shared_ptr<const ClassFiles> ImageFolderSource::FilesOf(std::size_t which) const {
  if (auto known = listed_.Find(which)) return known;
  ClassFiles files = ListClass(folder_, classes_[which].name, formats_);
  if (files.Hash() != classes_[which].hash) {
    throw std::runtime_error(FolderOf(which) + ": changed since it was opened; restart");
  }
  return listed_.Put(which, std::move(files));
}

std::string ImageFolderSource::NameOf(SampleIndex index) const {
  const std::size_t which = ClassOf(index);
  return FilesOf(which)->names.at(static_cast<std::size_t>(ToInt(index) - first_index_[which]));
}

std::string ImageFolderSource::PathOf(SampleIndex index) const {
  return FolderOf(ClassOf(index)) + "/" + NameOf(index);
}

std::vector<std::string> ImageFolderSource::FieldsOf(SampleIndex /*index*/) const {
  return {"label"};
}

RecordBlock ImageFolderSource::Read(SampleIndex first, int count, std::stop_token stop) const {
  if (ToInt(first) < 0 || count < 0 || ToInt(first) > size() - count) {
    throw std::out_of_range(
        fmt::format("{1} records from {0}: only {2} exist", ToInt(first), count, size()));
  }
  BlockBuilder builder;
  for (std::int64_t i = ToInt(first); i < ToInt(first) + count; ++i) {
    const SampleIndex index{i};
    const Class& own = classes_[ClassOf(index)];
    const std::string name = own.name + "/" + NameOf(index);
    const std::string_view key = builder.Keep(name);
    const ImageFile image = ReadImageFile(folder_ + "/" + name, max_record_bytes_, stop, builder);
    Record& record = builder.Add(index);
    record.key = key;
    record.image = image.bytes;
    record.label = own.label;
    record.skip = image.skip;
    if (record.skip) continue;
    if (!labelled_) {
      record.skip = Skip::kNoCaption;
    } else if (own.label < 0) {
      names_->Label(own.name);
      record.skip = Skip::kBadLabel;
    }
  }
  return builder.Finish();
}

std::uint64_t ImageFolderSource::hash() const {
  StreamHash hash;
  for (const Class& c : classes_) {
    const auto length = static_cast<std::int64_t>(c.name.size());
    hash.Add(std::as_bytes(std::span(&length, 1)));
    hash.Add(std::as_bytes(std::span(c.name)));
    hash.Add(std::as_bytes(std::span(&c.hash, 1)));
  }
  return hash.Digest();
}

}  // namespace fastclip

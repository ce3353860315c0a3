#include "pipeline/sources/image_folder_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <stdexcept>
#include <utility>

#include "pipeline/base/printable.h"
#include "pipeline/files/stream_hash.h"
#include "pipeline/records/block_builder.h"
#include "pipeline/records/class_names.h"
#include "pipeline/records/image_file.h"
#include "pipeline/sources/folder_mistakes.h"

namespace fastclip {
namespace {

/// Classes whose pictures are kept listed: threads read neighbours.
constexpr std::size_t kListed = 64;

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
  RefuseClassFolderOptions(folder_, options);
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
  if (size() == 0) ThrowNoClasses(folder_);
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
          "folders cannot be matched to classes; rename the folders, or leave out --classes: the "
          "names of the folders are then the classes",
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

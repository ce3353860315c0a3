#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/base/lru_cache.h"
#include "pipeline/records/record_source.h"
#include "pipeline/sources/class_folder.h"

namespace fastclip {

/// The images of a folder of classes (class_folder.h), class after class: a classification set.
///
/// An image's label is the index of its class among the sorted names. With
/// SourceOptions::class_names it is the index in that list, if it has the name of at least one
/// folder; else the index among the sorted names, if both have the same number of classes.
///
/// No list of all images is kept: a class is listed again when it is read, with an error if its
/// images have changed since the source was opened. There is no manifest: opening reads all
/// folders. The key is the path within the folder. A missing image is Skip::kMissing.
class ImageFolderSource final : public RecordSource {
 public:
  /// Throws std::runtime_error for a folder without classes (with what it has instead), a folder
  /// that cannot be read, and classes that do not match SourceOptions::class_names.
  ImageFolderSource(const std::string& folder, const SourceOptions& options);

  std::int64_t size() const override { return first_index_.back(); }
  RecordBlock Read(SampleIndex first, int count, std::stop_token stop) const override;
  RecordOrigin OriginOf(SampleIndex index) const override { return {PathOf(index), 0}; }
  std::vector<std::string> FieldsOf(SampleIndex index) const override;
  std::uint64_t hash() const override;

  /// "10 classes, numbered by folder name in sorted order; left out: 2 .txt", for messages.
  const std::string& description() const { return description_; }
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  std::string FolderOf(std::size_t which) const { return folder_ + "/" + classes_[which].name; }
  std::size_t ClassOf(SampleIndex index) const;
  /// The images of a class; throws std::runtime_error if they have changed.
  std::shared_ptr<const ClassFiles> FilesOf(std::size_t which) const;
  std::string NameOf(SampleIndex index) const;  ///< in its class's folder
  std::string PathOf(SampleIndex index) const;
  void NumberClasses(const SourceOptions& options);

  struct Class {
    std::string name;
    std::int64_t label = -1;  // -1: not a class name
    std::uint64_t hash = 0;   // of its images
  };

  const std::string folder_;
  const PictureFormats formats_;
  const std::int64_t max_record_bytes_;
  const bool labelled_;
  const std::shared_ptr<const ClassNames> names_;
  std::vector<Class> classes_;
  std::vector<std::int64_t> first_index_;  // of each class; at the end the size of the source
  std::string description_;
  std::vector<std::string> warnings_;
  mutable LruCache<std::size_t, ClassFiles> listed_;
};

}  // namespace fastclip

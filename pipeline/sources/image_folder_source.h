#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/base/lru_cache.h"
#include "pipeline/records/record_source.h"
#include "pipeline/sources/class_folder.h"

namespace fastclip {

/// The pictures of a folder of classes (class_folder.h), class after class: a set to classify.
///
/// A picture's label is the place of its class among the sorted names; with
/// SourceOptions::class_names it is the place of the name there if some class of the folder is
/// named there, and else the place among the sorted names all the same, where there are as many.
///
/// No list of all pictures is held: a class is listed again when it is read, and refused if its
/// pictures are others than when the source was opened. There is no manifest: opening reads the
/// folders anew. The key is the path within the folder. A picture that is gone is Skip::kMissing.
class ImageFolderSource final : public RecordSource {
 public:
  /// Throws std::runtime_error: a folder that holds no classes, and what it holds instead; one that
  /// cannot be read; classes that do not fit SourceOptions::class_names.
  ImageFolderSource(const std::string& folder, const SourceOptions& options);

  std::int64_t size() const override { return first_index_.back(); }
  RecordBlock Read(SampleIndex first, int count, std::stop_token stop) const override;
  RecordOrigin OriginOf(SampleIndex index) const override { return {PathOf(index), 0}; }
  std::vector<std::string> FieldsOf(SampleIndex index) const override;
  std::uint64_t hash() const override;

  /// "10 classes; labels are the places of their names in order; left out: 2 .txt", for people.
  const std::string& description() const { return description_; }
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  std::string FolderOf(std::size_t which) const { return folder_ + "/" + classes_[which].name; }
  std::size_t ClassOf(SampleIndex index) const;
  /// The pictures of a class; throws std::runtime_error where they have changed.
  std::shared_ptr<const ClassFiles> FilesOf(std::size_t which) const;
  std::string NameOf(SampleIndex index) const;  ///< in its class's folder
  std::string PathOf(SampleIndex index) const;
  void NumberClasses(const SourceOptions& options);

  struct Class {
    std::string name;
    std::int64_t label = -1;  // -1: its name is that of no class
    std::uint64_t hash = 0;   // of its pictures
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

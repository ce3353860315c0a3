#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "pipeline/records/picture_format.h"

namespace fastclip {

/// A folder of classes, as torchvision's ImageFolder reads it: each folder in it is a class, whose
/// pictures are the files in it and in all folders below, by their extension. What begins with a
/// dot is left out. Links are followed, but not into a folder that they lie in.
///
/// All calls throw std::runtime_error that names a folder or entry that cannot be read.

/// What was met on the way to the pictures of a class.
struct FolderTally {
  std::int64_t hidden = 0;
  std::int64_t loops = 0;                      ///< links that lead back to where they lie
  std::map<std::string, std::int64_t> others;  ///< ".txt", "" for none: files that are no pictures

  void Add(const FolderTally& other);
  /// Files of an extension; after 32 kinds, as one of none.
  void AddOther(const std::string& extension, std::int64_t count);
  /// "3 hidden, 2 .txt, 1 .xml"; empty where there is nothing.
  std::string Describe() const;
};

/// The names of the classes, sorted by bytes: the place is the label. Empty where `folder` holds no
/// folder. `beside`, where given, gets what else lies in it. Throws std::runtime_error for over
/// 100,000, and for a link that leads nowhere.
std::vector<std::string> ClassesOfFolder(const std::string& folder, FolderTally* beside = nullptr);

struct ClassFiles {
  /// Relative to the class's folder; by folder, then by name, as torchvision orders them.
  std::vector<std::string> names;
  bool has_direct = false;  ///< some lie in the class's folder itself
  FolderTally tally;

  /// The XXH3 of the names.
  std::uint64_t Hash() const;
};

/// The pictures of the class `name` of `folder`. Throws std::runtime_error for over
/// kMaxListedFiles.
ClassFiles ListClass(const std::string& folder, const std::string& name,
                     const PictureFormats& formats);

}  // namespace fastclip

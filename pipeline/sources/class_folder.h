#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/records/picture_format.h"
#include "pipeline/sources/folder_tally.h"

namespace fastclip {

/// A folder of classes, like torchvision's ImageFolder: each subfolder is a class; its images are
/// the files in it and in all folders below, selected by extension. Names that begin with a dot are
/// left out. Links are followed, except into a folder that contains them.
///
/// All calls throw std::runtime_error with the folder or entry that cannot be read.

/// The class names, sorted by bytes: the index is the label. Empty if `folder` has no subfolders.
/// `beside`, if given, gets the other files in it. Throws std::runtime_error for more than 100,000
/// classes and for a broken link.
std::vector<std::string> ClassesOfFolder(const std::string& folder, FolderTally* beside = nullptr);

struct ClassFiles {
  /// Relative to the class's folder; by folder, then by name, as torchvision orders them.
  std::vector<std::string> names;
  bool has_direct = false;  ///< some are directly in the class's folder
  FolderTally tally;

  /// The XXH3 of the names.
  std::uint64_t Hash() const;
};

/// The images of the class `name` of `folder`. Throws std::runtime_error for more than
/// kMaxListedFiles.
ClassFiles ListClass(const std::string& folder, const std::string& name,
                     const PictureFormats& formats);

}  // namespace fastclip

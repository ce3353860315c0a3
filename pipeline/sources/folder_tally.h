#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace fastclip {

/// Files other than images, found while listing a folder of classes.
struct FolderTally {
  std::int64_t hidden = 0;
  std::int64_t loops = 0;                      ///< circular links
  std::map<std::string, std::int64_t> others;  ///< other files by extension: ".txt"; "" for none

  void Add(const FolderTally& other);
  /// Adds files of an extension; after 32 kinds they count as "".
  void AddOther(const std::string& extension, std::int64_t count);
  /// "3 hidden, 2 .txt, 1 .xml"; empty if there are none.
  std::string Describe() const;
};

}  // namespace fastclip

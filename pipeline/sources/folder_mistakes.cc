#include "pipeline/sources/folder_mistakes.h"

#include <fmt/format.h>

#include <filesystem>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <vector>

#include "pipeline/files/file_system.h"
#include "pipeline/records/picture_format.h"
#include "pipeline/sources/table_layout.h"

namespace fastclip {

void ThrowNoClasses(const std::string& folder) {
  std::string holds = "has no subfolders";
  std::vector<std::string> names;
  FileSystemOf(folder).List(folder, [&](const FolderEntry& entry) { names.push_back(entry.name); });
  for (const std::string& name : names) {
    if (name.ends_with(".tar")) {
      throw std::runtime_error(
          fmt::format("{0}: is a folder; list its shards, as in '{0}/*.tar'", folder));
    }
    if (TableFormatOf(name)) {
      throw std::runtime_error(
          fmt::format("{0}: is a folder with a table; use '{0}/{1}'", folder, name));
    }
    const std::size_t dot = name.rfind('.');
    if (dot != name.npos && FormatOfExtension(std::string_view(name).substr(dot + 1))) {
      holds = "has images but no subfolders";
    }
  }
  throw std::runtime_error(fmt::format(
      "{0}: the folder {1}. A folder of classes, for evaluation, has one subfolder of images per "
      "class. To train on images, name a table of their paths and captions, as in '{0}/pairs.csv' "
      "with a first line filepath,caption",
      folder, holds));
}

void RefuseFolderOfTables(const std::string& folder, const std::string& name) {
  for (const char* table : {"metadata.jsonl", "metadata.csv"}) {
    std::error_code absent;
    const std::string path = fmt::format("{}/{}/{}", folder, name, table);
    if (!std::filesystem::exists(path, absent)) continue;
    throw std::runtime_error(
        fmt::format("{}: its folder '{}' has a table of captions; use '{}'", folder, name, path));
  }
}

void RefuseClassFolderOptions(const std::string& folder, const SourceOptions& options) {
  const auto refuse = [&](bool wrong, const char* reason) {
    if (wrong) throw std::runtime_error(fmt::format("{}: a folder of classes {}", folder, reason));
  };
  refuse(options.labels && !options.labels->empty(),
         "takes labels from its folder names; leave out the label key");
  refuse(!options.captions.empty(), "has no captions; leave out the caption keys");
  refuse(options.add_checksums || options.verify_checksums,
         "has no checksums (only tar shards have them); leave them out");
}

std::string FilesMeant(const std::string& folder) {
  std::string table;
  bool shards = false;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(folder, none)) {
    const std::string name = entry.path().filename();
    shards |= name.ends_with(".tar");
    if (TableFormatOf(name) && (table.empty() || name < table)) table = name;
  }
  return table.empty() && shards ? "*.tar" : table;
}

}  // namespace fastclip

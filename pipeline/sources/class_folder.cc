#include "pipeline/sources/class_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <span>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "pipeline/base/ascii.h"
#include "pipeline/files/file_system.h"
#include "pipeline/files/stream_hash.h"
#include "pipeline/shards/shard_list.h"

namespace fastclip {
namespace {

constexpr std::size_t kMaxClasses = 100'000;
constexpr std::size_t kMaxDepth = 32;
constexpr std::size_t kMaxFolders = 100'000;  // of a class: links may make many of few
constexpr std::size_t kMaxExtension = 8;      // bytes of one that is told

using Kind = FolderEntry::Kind;

bool IsHidden(const FolderEntry& entry) { return entry.name.starts_with('.'); }

std::string PathOf(const std::string& folder, const FolderEntry& entry) {
  return std::filesystem::path(folder) / entry.name;
}

void RequireKind(const std::string& folder, const FolderEntry& entry) {
  if (entry.error) throw std::system_error(entry.error, PathOf(folder, entry));
}

/// ".jpg" of "a.JPG", in small letters.
std::string ExtensionOf(const std::string& name) {
  const std::size_t dot = name.rfind('.');
  if (dot == std::string::npos || name.size() - dot > kMaxExtension) return "";
  std::string extension = name.substr(dot);
  std::ranges::transform(extension, extension.begin(), LowerAscii);
  const bool plain = std::ranges::all_of(extension, [](char c) { return c > 0x20 && c < 0x7F; });
  return plain ? extension : "";
}

class ClassWalk {
 public:
  ClassWalk(const std::string& folder, const std::string& name, const PictureFormats& formats)
      : files_(FileSystemOf(folder)), top_(folder + "/" + name), formats_(formats) {
    if (const auto id = files_.FindFolder(folder)) above_.push_back(*id);
  }

  ClassFiles Run() {
    Walk("");
    std::ranges::sort(folders_, {}, &Folder::path);
    ClassFiles files;
    for (Folder& folder : folders_) {
      std::ranges::sort(folder.names);
      files.has_direct |= folder.path.empty() && !folder.names.empty();
      for (std::string& name : folder.names) {
        files.names.push_back(folder.path.empty() ? std::move(name) : folder.path + "/" + name);
      }
      folder.names = {};
    }
    files.tally = std::move(tally_);
    return files;
  }

 private:
  struct Folder {
    std::string path;  // relative to the class's
    std::vector<std::string> names;
  };

  void Walk(const std::string& path) {
    const std::string full = path.empty() ? top_ : top_ + "/" + path;
    const auto id = files_.FindFolder(full);
    if (!id) return;  // gone meanwhile
    if (std::ranges::find(above_, *id) != above_.end()) {
      ++tally_.loops;
      return;
    }
    if (above_.size() == kMaxDepth) {
      throw std::runtime_error(
          fmt::format("{}: folders are nested more than {} deep", full, kMaxDepth));
    }
    if (folders_.size() == kMaxFolders) {
      throw std::runtime_error(
          fmt::format("{}: more than {} folders in one class", top_, kMaxFolders));
    }
    above_.push_back(*id);
    Folder folder{path, {}};
    std::vector<std::string> below;
    files_.List(full, [&](const FolderEntry& entry) {
      if (IsHidden(entry)) {
        ++tally_.hidden;
        return;
      }
      RequireKind(full, entry);
      if (entry.kind == Kind::kFolder) {
        below.push_back(entry.name);
      } else {
        AddFile(entry, folder.names);
      }
    });
    folders_.push_back(std::move(folder));
    for (const std::string& name : below) Walk(path.empty() ? name : path + "/" + name);
    above_.pop_back();
  }

  void AddFile(const FolderEntry& entry, std::vector<std::string>& names) {
    const std::string extension = ExtensionOf(entry.name);
    const auto format =
        extension.empty() ? std::nullopt : FormatOfExtension(std::string_view(extension).substr(1));
    // A link that leads nowhere keeps its place: its picture is missing.
    const bool is_file = entry.kind == Kind::kFile || entry.kind == Kind::kBrokenLink;
    if (!format || !formats_.Has(*format) || !is_file) {
      tally_.AddOther(extension, 1);
      return;
    }
    if (++pictures_ > kMaxListedFiles) {
      throw std::runtime_error(fmt::format(
          "{}: more than {} images in one class; check that it is a class", top_, kMaxListedFiles));
    }
    names.push_back(entry.name);
  }

  const FileSystem& files_;
  const std::string top_;
  const PictureFormats formats_;
  std::vector<Folder> folders_;
  std::vector<FolderId> above_;  // the folders that the present one lies in
  std::size_t pictures_ = 0;
  FolderTally tally_;
};

}  // namespace

std::uint64_t ClassFiles::Hash() const {
  StreamHash hash;
  for (const std::string& name : names) {
    const auto length = static_cast<std::int64_t>(name.size());
    hash.Add(std::as_bytes(std::span(&length, 1)));
    hash.Add(std::as_bytes(std::span(name)));
  }
  return hash.Digest();
}

std::vector<std::string> ClassesOfFolder(const std::string& folder, FolderTally* beside) {
  std::vector<std::string> classes;
  FolderTally tally;
  FileSystemOf(folder).List(folder, [&](const FolderEntry& entry) {
    if (IsHidden(entry)) {
      ++tally.hidden;
      return;
    }
    RequireKind(folder, entry);
    if (entry.kind == Kind::kBrokenLink) {
      throw std::runtime_error(
          fmt::format("{}: broken link; repair or remove it (if it is a class, the labels of all "
                      "later classes depend on it)",
                      PathOf(folder, entry)));
    }
    if (entry.kind != Kind::kFolder) {
      tally.AddOther(ExtensionOf(entry.name), 1);
      return;
    }
    if (classes.size() == kMaxClasses) {
      throw std::runtime_error(fmt::format(
          "{}: more than {} folders; check that it is a folder of classes", folder, kMaxClasses));
    }
    classes.push_back(entry.name);
  });
  std::ranges::sort(classes);
  if (beside != nullptr) *beside = std::move(tally);
  return classes;
}

ClassFiles ListClass(const std::string& folder, const std::string& name,
                     const PictureFormats& formats) {
  return ClassWalk(folder, name, formats).Run();
}

}  // namespace fastclip

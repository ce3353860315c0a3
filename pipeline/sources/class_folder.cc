#include "pipeline/sources/class_folder.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <optional>
#include <span>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "pipeline/base/ascii.h"
#include "pipeline/files/stream_hash.h"
#include "pipeline/shards/shard_list.h"

namespace fastclip {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxClasses = 100'000;
constexpr std::size_t kMaxDepth = 32;
constexpr std::size_t kMaxFolders = 100'000;  // of a class: links may make many of few
/// Kinds of other files that are told apart, and bytes of one's extension.
constexpr std::size_t kMaxKinds = 32, kMaxExtension = 8;

/// Calls `visit` for what lies in a folder, in no order.
template <class Visit>
void ForEachEntry(const std::string& folder, const Visit& visit) {
  std::error_code error;
  fs::directory_iterator at(folder, error);
  for (; !error && at != fs::directory_iterator(); at.increment(error)) visit(*at);
  if (error) {
    throw std::runtime_error(
        fmt::format("{}: the folder cannot be read: {}", folder, error.message()));
  }
}

/// Whether a name leads nowhere. Throws for any other error.
bool LeadsNowhere(int error, const std::string& path) {
  if (error == ENOENT || error == ENOTDIR || error == ELOOP) return true;
  throw std::system_error(error, std::generic_category(), path);
}

/// Of a folder, links followed; nothing where it is gone.
using FileId = std::pair<dev_t, ino_t>;
std::optional<FileId> IdOf(const std::string& path) {
  struct stat status;
  if (stat(path.c_str(), &status) == 0) return FileId(status.st_dev, status.st_ino);
  LeadsNowhere(errno, path);
  return std::nullopt;
}

bool IsHidden(const fs::directory_entry& entry) {
  return entry.path().filename().native().starts_with('.');
}

/// Links followed; nothing where one leads nowhere. What the folder tells of a file is not asked
/// for again.
std::optional<bool> IsFolder(const fs::directory_entry& entry) {
  std::error_code error;
  const bool is_folder = entry.is_directory(error);
  if (error && LeadsNowhere(error.value(), entry.path())) return std::nullopt;
  return is_folder;
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
      : top_(folder + "/" + name), formats_(formats) {
    if (const auto id = IdOf(folder)) above_.push_back(*id);
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
    const auto id = IdOf(full);
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
    ForEachEntry(full, [&](const fs::directory_entry& entry) {
      std::string name = entry.path().filename();
      if (IsHidden(entry)) {
        ++tally_.hidden;
      } else if (IsFolder(entry).value_or(false)) {
        below.push_back(std::move(name));
      } else {
        AddFile(entry, std::move(name), folder.names);
      }
    });
    folders_.push_back(std::move(folder));
    for (const std::string& name : below) Walk(path.empty() ? name : path + "/" + name);
    above_.pop_back();
  }

  void AddFile(const fs::directory_entry& entry, std::string name,
               std::vector<std::string>& names) {
    const std::string extension = ExtensionOf(name);
    const auto format =
        extension.empty() ? std::nullopt : FormatOfExtension(std::string_view(extension).substr(1));
    // A link that leads nowhere keeps its place: its picture is missing.
    std::error_code error;
    const bool is_file = entry.is_regular_file(error) || entry.is_symlink(error);
    if (!format || !formats_.Has(*format) || !is_file) {
      tally_.AddOther(extension, 1);
      return;
    }
    if (++pictures_ > kMaxListedFiles) {
      throw std::runtime_error(fmt::format(
          "{}: more than {} images in one class; check that it is a class", top_, kMaxListedFiles));
    }
    names.push_back(std::move(name));
  }

  const std::string top_;
  const PictureFormats formats_;
  std::vector<Folder> folders_;
  std::vector<FileId> above_;  // the folders that the present one lies in
  std::size_t pictures_ = 0;
  FolderTally tally_;
};

}  // namespace

void FolderTally::Add(const FolderTally& other) {
  hidden += other.hidden;
  loops += other.loops;
  for (const auto& [extension, count] : other.others) AddOther(extension, count);
}

void FolderTally::AddOther(const std::string& extension, std::int64_t count) {
  const bool known = others.contains(extension) || others.size() < kMaxKinds;
  others[known ? extension : ""] += count;
}

std::string FolderTally::Describe() const {
  std::string text;
  const auto add = [&](std::int64_t count, const std::string& what) {
    if (count > 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, what);
  };
  add(hidden, "hidden");
  add(loops, loops == 1 ? "circular link" : "circular links");
  for (const auto& [extension, count] : others) {
    add(count, extension.empty() ? "of other kinds" : extension);
  }
  return text;
}

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
  ForEachEntry(folder, [&](const fs::directory_entry& entry) {
    if (IsHidden(entry)) {
      ++tally.hidden;
      return;
    }
    const std::optional<bool> is_folder = IsFolder(entry);
    if (!is_folder) {
      throw std::runtime_error(
          fmt::format("{}: broken link; repair or remove it (if it is a class, the labels of all "
                      "later classes depend on it)",
                      entry.path().string()));
    }
    if (!*is_folder) {
      tally.AddOther(ExtensionOf(entry.path().filename()), 1);
      return;
    }
    if (classes.size() == kMaxClasses) {
      throw std::runtime_error(fmt::format(
          "{}: more than {} folders; check that it is a folder of classes", folder, kMaxClasses));
    }
    classes.push_back(entry.path().filename());
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

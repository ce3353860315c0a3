#pragma once

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include "pipeline/files/file_system.h"

namespace fastclip {

/// What goes wrong with files in memory.
struct MemoryFaults {
  /// Only files whose names end so have them, and only reads of these are counted.
  std::string only{};
  std::size_t most_at_once = std::numeric_limits<std::size_t>::max();  ///< bytes that a read gives
  int fails_every = 0;  ///< every so manieth read fails with `error` first
  int error = EIO;
  std::optional<std::int64_t> claimed_size{}, claimed_time{};  ///< what the stamp says …
  std::int64_t claimed_after_reads = 0;                        ///< … after so many reads
  std::optional<std::int64_t> cut_at{};  ///< reads end here, whatever the stamp says, …
  std::int64_t cut_after_reads = 0;      ///< … after so many reads
};

/// Files in memory under the names "mem://…", with faults. Files and faults are changed only while
/// nobody reads; an open file shows such a change, like one that is rewritten in place.
class MemoryFiles final : public FileSystem {
 public:
  struct Entry {
    std::string bytes;
    std::int64_t time = 1;
  };
  std::map<std::string, Entry> files;
  MemoryFaults faults;
  mutable std::atomic<std::int64_t> reads = 0;
  mutable std::atomic<std::int64_t> failed = 0;

  std::shared_ptr<const RandomAccessFile> Open(const std::string& uri) const override {
    const auto found = files.find(uri);
    return found == files.end() ? nullptr : std::make_shared<const File>(*this, uri, found->second);
  }
  std::optional<FileStamp> Find(const std::string& uri) const override {
    const auto found = files.find(uri);
    return found == files.end() ? std::nullopt : std::optional(StampOf(uri, found->second));
  }
  /// A folder is there if a file lies in it or below.
  std::optional<FolderId> FindFolder(const std::string& uri) const override {
    const std::string begin = uri + "/";
    const auto first = files.lower_bound(begin);
    if (first == files.end() || !first->first.starts_with(begin)) return std::nullopt;
    return FolderId(0, std::hash<std::string>()(uri));
  }
  void List(const std::string& folder, const Visit& visit) const override {
    const std::string begin = folder + "/";
    std::string last;  // the names of a folder's files stand together
    for (auto at = files.lower_bound(begin); at != files.end() && at->first.starts_with(begin);
         ++at) {
      const std::string rest = at->first.substr(begin.size());
      const std::string name = rest.substr(0, rest.find('/'));
      if (name == last) continue;
      last = name;
      visit({.name = name,
             .kind = name == rest ? FolderEntry::Kind::kFile : FolderEntry::Kind::kFolder});
    }
  }

 private:
  class File final : public RandomAccessFile {
   public:
    File(const MemoryFiles& owner, const std::string& name, const Entry& entry)
        : RandomAccessFile(name), owner_(owner), entry_(entry) {}
    FileStamp Stamp() const override { return owner_.StampOf(name(), entry_); }

   private:
    std::size_t ReadSome(std::int64_t offset, std::span<std::byte> out) const override {
      static const MemoryFaults kNone;
      const bool faulty = owner_.IsFaulty(name());
      const MemoryFaults& faults = faulty ? owner_.faults : kNone;
      const std::int64_t number = faulty ? ++owner_.reads : 0;
      if (faults.fails_every > 0 && number % faults.fails_every == 0) {
        ++owner_.failed;
        throw std::system_error(faults.error, std::generic_category(), name());
      }
      std::int64_t end = std::ssize(entry_.bytes);
      if (faults.cut_at && number > faults.cut_after_reads) end = std::min(end, *faults.cut_at);
      if (offset >= end) return 0;
      const std::size_t got =
          std::min({out.size(), static_cast<std::size_t>(end - offset), faults.most_at_once});
      std::memcpy(out.data(), entry_.bytes.data() + offset, got);
      return got;
    }

    const MemoryFiles& owner_;
    const Entry& entry_;
  };

  bool IsFaulty(const std::string& name) const { return name.ends_with(faults.only); }
  FileStamp StampOf(const std::string& name, const Entry& entry) const {
    const FileStamp stamp{std::ssize(entry.bytes), entry.time};
    if (!IsFaulty(name) || reads < faults.claimed_after_reads) return stamp;
    return {faults.claimed_size.value_or(stamp.size), faults.claimed_time.value_or(stamp.mtime_ns)};
  }
};

}  // namespace fastclip

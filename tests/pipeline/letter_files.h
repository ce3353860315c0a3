#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <xxhash.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/base/ascii.h"
#include "pipeline/files/local_file.h"
#include "pipeline/shards/index_files.h"
#include "pipeline/shards/record_places.h"
#include "tests/pipeline/shard_files.h"
#include "tests/support/paths.h"

namespace fastclip {

/// Files whose letters are their records: 'a' and 'A' have the same key, but are other bytes. The
/// scan counts itself.
class LetterFiles : public testing::Test {
 protected:
  /// The file gets these letters and another time.
  void Write(const std::string& name, const std::string& letters) {
    WriteFile(Path(name), letters);
    // Of yesterday: what was just written is waited for before it is scanned.
    std::filesystem::last_write_time(Path(name), std::filesystem::file_time_type::clock::now() -
                                                     std::chrono::hours(24) +
                                                     std::chrono::seconds(++time_));
  }
  std::string Path(const std::string& name) const { return folder_ / name; }
  std::string SidecarOf(const std::string& name) const { return Path(name) + ".fastclip"; }
  FileStamp StampOf(const std::string& name) const { return LocalFiles().Find(Path(name)).value(); }

  /// The list is named after its files: "0+1".
  IndexedFiles Index(std::initializer_list<const char*> names, const SourceOptions& options = {}) {
    std::vector<std::string> paths;
    for (const char* name : names) paths.push_back(Path(name));
    return IndexFiles(fmt::format("{}", fmt::join(names, "+")), std::move(paths), FileKind::kTar,
                      options, [this](const RandomAccessFile& file, bool checksums) {
                        ++scans_;
                        return Scan(file, checksums);
                      });
  }

  TemporaryFolder folder_;
  std::atomic<int> scans_ = 0;

 private:
  static WalkedFile Scan(const RandomAccessFile& file, bool checksums) {
    std::string letters(static_cast<std::size_t>(file.Stamp().size), '\0');
    file.Read(0, std::as_writable_bytes(std::span(letters)));
    WalkedFile walked;
    walked.facts.count = std::ssize(letters);
    std::vector<std::uint32_t> places;
    for (std::uint32_t i = 0; i <= letters.size(); ++i) places.push_back(100 + i);
    const auto bytes = std::as_bytes(std::span(places));
    walked.places.assign(bytes.begin(), bytes.end());
    if (checksums) {
      walked.checksums.assign(letters.begin(), letters.end());
      SealChecksums(walked);
    }
    std::ranges::transform(letters, letters.begin(), LowerAscii);
    walked.facts.content_hash = XXH3_64bits(letters.data(), letters.size());
    return walked;
  }

  std::int64_t time_ = 0;
};

}  // namespace fastclip

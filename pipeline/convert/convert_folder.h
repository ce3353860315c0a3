#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "pipeline/files/file.h"

namespace fastclip {

/// The folder that `fastclip shards convert` fills: it is there complete or not at all.
///
/// Where OUT is not there yet, files are made in OUT.unfinished, which then gets the name OUT.
/// Where it is (an empty folder, a mounted disk, "."), they are made in OUT/convert.unfinished and
/// then moved up, convert.json last. A file convert.lock marks the unfinished folder as ours, and
/// is locked as long as its maker lives: a second convert into OUT is refused, and what a killed
/// one left is removed, but nothing of anybody else.
class ConvertFolder {
 public:
  /// Throws std::runtime_error that says what to do: OUT is not empty or no folder, another
  /// process is making it, the unfinished folder holds files of somebody else, nothing can be
  /// written there.
  explicit ConvertFolder(const std::string& out);
  /// Removes what was made unless Finish() was reached.
  ~ConvertFolder();
  ConvertFolder(const ConvertFolder&) = delete;
  ConvertFolder& operator=(const ConvertFolder&) = delete;

  /// Where to make files: 00000.tar, 00001.tar, … and convert.json.
  const std::filesystem::path& unfinished() const { return unfinished_; }
  /// What a convert that was killed had left there, for people; empty: nothing.
  const std::string& removed() const { return removed_; }
  void Finish();

 private:
  void RequireFree() const;
  void Lock();
  /// The number of files.
  std::int64_t Clear();

  std::filesystem::path out_;
  std::filesystem::path unfinished_;
  bool in_place_ = false;  // OUT was there
  UniqueFd lock_;
  std::string removed_;
  bool finished_ = false;
};

}  // namespace fastclip

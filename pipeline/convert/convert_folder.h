#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "pipeline/files/file.h"

namespace fastclip {

/// The output folder of `fastclip shards convert`. It appears only when it is complete.
///
/// If OUT does not exist, files are written to OUT.unfinished, which is then renamed to OUT. If OUT
/// exists (an empty folder, a mounted disk, "."), they are written to OUT/convert.unfinished and
/// then moved up, convert.json last. The file convert.lock marks the unfinished folder and is
/// locked while its process lives: a second convert into OUT is refused. What a killed convert left
/// is removed; no other files are.
class ConvertFolder {
 public:
  /// Throws std::runtime_error with what to do if OUT is not empty or not a folder, another process
  /// is writing it, the unfinished folder has other files, or nothing can be written there.
  explicit ConvertFolder(const std::string& out);
  /// Removes what was written unless Finish() was called.
  ~ConvertFolder();
  ConvertFolder(const ConvertFolder&) = delete;
  ConvertFolder& operator=(const ConvertFolder&) = delete;

  /// Where to write 00000.tar, 00001.tar, … and convert.json.
  const std::filesystem::path& unfinished() const { return unfinished_; }
  /// A message about files of a killed convert that were removed; empty if there were none.
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

#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/files/atomic_file.h"

namespace fastclip {

/// A kind of output file, and how to recognize an existing one.
struct OutputKind {
  std::string name;  ///< for messages, as in "a manifest"
  /// Whether a file that begins with these bytes (at most 64 KiB) is of this kind.
  std::function<bool(std::string_view)> is_one;
};

/// The target of the symbolic links that begin at `path`, existing or not; `path` itself if it is
/// not a link. Throws std::runtime_error for circular links.
std::string FollowLinks(const std::string& path);

/// An output file that the user names. The same rules for all commands:
///
/// - No file, an empty file, or a file of this kind: an AtomicFile. A link stays; its target is
///   written.
/// - "-", /dev/stdout, a pipe or a character device, also behind a link: written directly.
/// - Anything else is an error: a folder, a block device, a file of another kind, an input of the
///   command.
class OutputFile {
 public:
  /// Opens the file, so construct it before the work. `inputs` are files that the command reads.
  /// Throws std::runtime_error with the path and what to do.
  OutputFile(std::string path, const OutputKind& kind, const std::vector<std::string>& inputs = {});

  /// Throws std::system_error, as Commit() does.
  void Append(std::span<const std::byte> bytes);
  void Append(std::string_view text);
  /// Finishes a file and gives it its name. Without it the file is removed.
  void Commit();
  /// Whether it is a file that can be read after Commit().
  bool is_file() const { return file_.has_value(); }
  /// If true, messages must not go to standard output.
  bool is_stdout() const { return is_stdout_; }

 private:
  void OpenStream(std::optional<int> descriptor);

  std::string path_;
  bool is_stdout_ = false;
  UniqueFd stream_;                 // of what is written to as it is
  std::optional<AtomicFile> file_;  // of all else
};

/// The same rules for a writer that cannot write to streams, which are refused too. Returns the
/// file to write, with all links followed.
std::string CheckOutputPath(const std::string& path, const OutputKind& kind);

}  // namespace fastclip

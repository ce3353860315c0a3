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

/// What a command writes, and how an older one is told from a file of somebody else.
struct OutputKind {
  std::string name;  ///< for people, as in "a manifest"
  /// Whether a file that begins with these bytes, at most 64 KiB, is one.
  std::function<bool(std::string_view)> is_one;
};

/// The file at the end of the symbolic links that begin at `path`, be it there or not; `path`
/// itself where it is no link. Throws std::runtime_error for links that go in a circle.
std::string FollowLinks(const std::string& path);

/// The file that a user names for a command to write. One rule for all commands:
///
/// - Where nothing is, or a file of this kind, or an empty one: an AtomicFile. A link stays, and
///   what it points to is written.
/// - "-", /dev/stdout, a pipe or a character device, also behind a link: written to as it is.
/// - Anything else is refused: a folder, a block device, a file of another kind, a file that the
///   command reads.
class OutputFile {
 public:
  /// Opens it, so make it before the work. `inputs` are files that the command reads. Throws
  /// std::runtime_error that names the path and says what to do.
  OutputFile(std::string path, const OutputKind& kind, const std::vector<std::string>& inputs = {});

  /// Throws std::system_error, as Commit() does.
  void Append(std::span<const std::byte> bytes);
  void Append(std::string_view text);
  /// Ends a file and gives it its name; without it nothing stays.
  void Commit();
  /// Whether it is a file that can be read once it is committed.
  bool is_file() const { return file_.has_value(); }
  /// Where it is, what is printed for people must go elsewhere.
  bool is_stdout() const { return is_stdout_; }

 private:
  void OpenStream(std::optional<int> descriptor);

  std::string path_;
  bool is_stdout_ = false;
  UniqueFd stream_;                 // of what is written to as it is
  std::optional<AtomicFile> file_;  // of all else
};

/// The same rule for a writer of its own, which cannot write to streams: these are refused as well.
/// Returns the file to write, behind all links.
std::string CheckOutputPath(const std::string& path, const OutputKind& kind);

}  // namespace fastclip

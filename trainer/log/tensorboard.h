#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "trainer/base/file_io.h"

namespace fastclip {

/// Scalars for TensorBoard, in an event file of its own for each start of a run.
///
/// The file's first event says its version, the second that a session starts at `first_step`:
/// readers then drop what earlier files hold of that step and later ones, which is what a resume
/// repeats. Evaluations are written over epochs, so readers keep repeated ones: equal points at the
/// same place. Not thread-safe.
class TensorboardWriter {
 public:
  /// Makes folder/events.out.tfevents.TIME.HOST (and the folder). `first_step` is the lowest step
  /// that this start will write. Throws std::runtime_error naming the file and the cause.
  TensorboardWriter(const std::string& folder, std::int64_t first_step);

  using Scalar = std::pair<std::string_view, double>;
  /// One event with all the scalars of a step; it is in the file when Write returns.
  void Write(std::int64_t step, std::span<const Scalar> scalars);

  const std::string& path() const { return file_->path(); }

 private:
  void Append(std::string_view event);

  std::unique_ptr<AppendFile> file_;
};

/// CRC-32C (Castagnoli), as event files use it.
std::uint32_t Crc32c(std::string_view bytes);

}  // namespace fastclip

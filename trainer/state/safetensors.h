#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "trainer/base/named_tensors.h"

namespace fastclip {

struct SafetensorsFile {
  NamedTensors tensors;  ///< in the file's order
  std::map<std::string, std::string> metadata;
};

/// Writes `path` as an AtomicFile. Throws std::runtime_error naming the file and the cause (a full
/// disk, say).
void WriteSafetensors(const std::string& path, const NamedTensors& tensors,
                      const std::map<std::string, std::string>& metadata = {});

/// A tensor of a file, as its header describes it.
struct SafetensorsEntry {
  std::string name;
  at::ScalarType type = at::ScalarType::Undefined;
  std::vector<std::int64_t> shape{};
  std::uint64_t offset = 0;  ///< of its first byte in the file
  std::uint64_t bytes = 0;
};

/// A file whose header has been read and checked against its size; a tensor is read when asked for.
/// May be used by several threads.
class SafetensorsReader {
 public:
  /// Takes time and memory linear in the header, which has 100 MB at most. Throws
  /// std::runtime_error naming the file and what is wrong with it; a PyTorch checkpoint's error
  /// says how to convert it.
  explicit SafetensorsReader(const std::string& path);
  ~SafetensorsReader();
  SafetensorsReader(SafetensorsReader&&) noexcept;

  const std::vector<SafetensorsEntry>& entries() const { return entries_; }  ///< in its order
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  /// Throws std::runtime_error.
  at::Tensor Read(const SafetensorsEntry& entry) const;
  /// Rows [first, first + count) of an entry, its first dimension being rows: their bytes alone are
  /// read, into `to`. REQUIRES: the entry has these rows.
  void ReadRows(const SafetensorsEntry& entry, std::int64_t first, std::int64_t count,
                void* to) const;
  /// Rows in any order, [rows, …]: one read for each run of consecutive ones.
  at::Tensor ReadRows(const SafetensorsEntry& entry, std::span<const std::int64_t> rows) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
  std::vector<SafetensorsEntry> entries_;
  std::map<std::string, std::string> metadata_;
};

/// Reads a whole file; every size in it is checked against the file's. Throws std::runtime_error
/// naming the file and what is wrong with it.
SafetensorsFile ReadSafetensors(const std::string& path);

}  // namespace fastclip

#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "trainer/base/named_tensors.h"

namespace fastclip {

struct SafetensorsFile {
  NamedTensors tensors;  ///< in the file's order
  std::map<std::string, std::string> metadata;
};

/// Writes `path` atomically. Throws std::runtime_error with the file and the cause, such as a full
/// disk, or a requested stop, which it looks for before each tensor.
void WriteSafetensors(const std::string& path, const NamedTensors& tensors,
                      const std::map<std::string, std::string>& metadata = {},
                      const std::stop_token& stop = {});

/// A tensor as described by the file's header.
struct SafetensorsEntry {
  std::string name;
  at::ScalarType type = at::ScalarType::Undefined;
  std::vector<std::int64_t> shape{};
  std::uint64_t offset = 0;  ///< of the first byte in the file
  std::uint64_t bytes = 0;
};

/// A file whose header was read and checked against the file size; tensors are read on demand.
/// Thread-safe.
class SafetensorsReader {
 public:
  /// Time and memory are linear in the header, at most 100 MB. Throws std::runtime_error with the
  /// file and the reason; for a PyTorch checkpoint also how to convert it.
  explicit SafetensorsReader(const std::string& path);
  ~SafetensorsReader();
  SafetensorsReader(SafetensorsReader&&) noexcept;

  const std::vector<SafetensorsEntry>& entries() const { return entries_; }  ///< in header order
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  /// Throws std::runtime_error.
  at::Tensor Read(const SafetensorsEntry& entry) const;
  /// Reads rows [first, first + count) of an entry (its first dimension) into `to`, and only their
  /// bytes. REQUIRES: the entry has these rows.
  void ReadRows(const SafetensorsEntry& entry, std::int64_t first, std::int64_t count,
                void* to) const;
  /// Rows in any order, [rows, …], with one read per run of consecutive rows.
  at::Tensor ReadRows(const SafetensorsEntry& entry, std::span<const std::int64_t> rows) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
  std::vector<SafetensorsEntry> entries_;
  std::map<std::string, std::string> metadata_;
};

/// Reads a whole file and checks all sizes. Throws std::runtime_error with the file and the reason.
SafetensorsFile ReadSafetensors(const std::string& path);

}  // namespace fastclip

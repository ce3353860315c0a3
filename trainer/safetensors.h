#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "trainer/named_tensors.h"

namespace fastclip {

struct SafetensorsFile {
  NamedTensors tensors;  ///< in the file's order
  std::map<std::string, std::string> metadata;
};

/// Writes `path` and syncs it to the disk. Throws std::runtime_error naming the file and the cause
/// (a full disk, say); what it wrote so far is removed.
void WriteSafetensors(const std::string& path, const NamedTensors& tensors,
                      const std::map<std::string, std::string>& metadata = {});

/// A file of which parts are read. May be used by several threads. All calls throw
/// std::runtime_error naming the file and what is wrong with it.
class SafetensorsReader {
 public:
  struct Entry {
    std::string name;
    at::ScalarType type;
    std::vector<std::int64_t> shape;
  };

  /// Reads the header, and checks every size in it against the file's.
  explicit SafetensorsReader(const std::string& path);
  ~SafetensorsReader();
  SafetensorsReader(SafetensorsReader&&) noexcept;

  const std::map<std::string, std::string>& metadata() const;
  /// In the file's order.
  const std::vector<Entry>& entries() const;

  at::Tensor Read(std::size_t entry) const;
  /// Rows [first, first + count) of an entry, its first dimension being rows: their bytes alone are
  /// read, into `to`. REQUIRES: the entry has these rows.
  void ReadRows(std::size_t entry, std::int64_t first, std::int64_t count, void* to) const;
  /// Rows in any order, [rows, …]: one read for each run of consecutive ones.
  at::Tensor ReadRows(std::size_t entry, std::span<const std::int64_t> rows) const;

 private:
  struct Contents;
  std::unique_ptr<const Contents> contents_;
};

/// Reads a whole file; every size in it is checked against the file's. Throws std::runtime_error
/// naming the file and what is wrong with it.
SafetensorsFile ReadSafetensors(const std::string& path);

}  // namespace fastclip

#pragma once

#include <map>
#include <string>

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

/// Reads a whole file; every size in it is checked against the file's. Throws std::runtime_error
/// naming the file and what is wrong with it.
SafetensorsFile ReadSafetensors(const std::string& path);

}  // namespace fastclip

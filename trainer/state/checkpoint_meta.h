#pragma once

#include <map>
#include <string>

#include "trainer/base/file_io.h"
#include "trainer/state/checkpoint.h"

namespace fastclip {

/// checkpoint.json: the numbers, and the digest of each other file of the folder.
struct CheckpointDocument {
  CheckpointMeta meta;
  std::map<std::string, FileDigest> files;
};

/// The text of checkpoint.json; its last key is the XXH3 of the others.
std::string FormatDocument(const CheckpointDocument& document);
/// Throws std::runtime_error with what is wrong: no JSON, another format, changed bytes, a key
/// that is missing or of another type.
CheckpointDocument ParseDocument(const std::string& text);

/// The order's numbers as JSON text, as checkpoint.json and the state files' headers have them.
std::string FormatOrder(const OrderOptions& order);

}  // namespace fastclip

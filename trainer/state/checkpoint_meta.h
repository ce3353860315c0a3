#pragma once

#include <map>
#include <string>

#include "trainer/base/file_io.h"
#include "trainer/state/checkpoint.h"

namespace fastclip {

/// checkpoint.json: the meta, and the digest of each other file in the folder.
struct CheckpointDocument {
  CheckpointMeta meta;
  std::map<std::string, FileDigest> files;
};

/// The text of checkpoint.json; its last key is the XXH3 of the others.
std::string FormatDocument(const CheckpointDocument& document);
/// Throws std::runtime_error with the reason: not JSON, unknown format, hash mismatch, a key that
/// is missing or has another type.
CheckpointDocument ParseDocument(const std::string& text);

/// The order as JSON text, as in checkpoint.json and the headers of the state files.
std::string FormatOrder(const OrderOptions& order);

}  // namespace fastclip

#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <unordered_map>
#include <variant>

#include "pipeline/convert/convert.h"
#include "pipeline/convert/pack_picture.h"
#include "pipeline/records/stored_record.h"
#include "pipeline/shards/tar_writer.h"

namespace fastclip {

/// A record to be written to a shard.
struct PackedRow {
  StoredRecord stored;
  std::variant<PackedPicture, Skip> picture = Skip::kMissing;
};

/// Fills 00000.tar, 00001.tar, … of a folder with rows in their order, and counts them. Not
/// thread-safe.
class ShardSequence {
 public:
  /// Keeps references: all must outlive it.
  ShardSequence(const std::filesystem::path& folder, const ConvertOptions& options,
                ConvertReport& report);

  void Add(const PackedRow& row);
  /// Finishes the last shard.
  void Close();

 private:
  void Copy(const PackedRow& row, const PackedPicture& picture);
  void Make(const PackedRow& row, const PackedPicture& picture);
  std::string Describe(const StoredRecord& stored, const PackedPicture& picture,
                       const std::string& key);
  std::string UniqueKey(std::string key);

  const std::filesystem::path& folder_;
  const ConvertOptions& options_;
  ConvertReport& report_;
  const int place_digits_;
  std::optional<TarWriter> writer_;
  std::int64_t place_ = 0;
  std::unordered_map<std::string, int> keys_;  // of the shard, and how often each was wanted
};

}  // namespace fastclip

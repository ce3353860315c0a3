#include "pipeline/records/image_file.h"

#include "pipeline/files/file_system.h"

namespace fastclip {

ImageFile ReadImageFile(const std::string& path, std::int64_t max_bytes,
                        const std::stop_token& stop, BlockBuilder& memory) {
  // A scheme that nobody knows is a property of the record.
  const auto file = HasFileSystem(path) ? OpenFile(path) : nullptr;
  if (file == nullptr) return {.bytes = {}, .skip = Skip::kMissing};
  const std::int64_t size = file->Stamp().size;
  if (size < 0 || size > max_bytes) return {.bytes = {}, .skip = Skip::kTooLarge};
  const std::span<std::byte> bytes = memory.Allocate(static_cast<std::size_t>(size));
  if (file->Read(0, bytes, stop) < bytes.size()) return {.bytes = {}, .skip = Skip::kTruncated};
  return {.bytes = bytes, .skip = {}};
}

}  // namespace fastclip

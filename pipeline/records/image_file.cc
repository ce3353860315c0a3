#include "pipeline/records/image_file.h"

#include "pipeline/files/file.h"

namespace fastclip {

ImageFile ReadImageFile(const std::string& path, std::int64_t max_bytes,
                        const std::stop_token& stop, BlockBuilder& memory) {
  const UniqueFd fd = OpenToRead(path);
  if (!fd) return {.bytes = {}, .skip = Skip::kMissing};
  const std::int64_t size = StampOf(fd.get(), path).size;
  if (size > max_bytes) return {.bytes = {}, .skip = Skip::kTooLarge};
  const std::span<std::byte> bytes = memory.Allocate(static_cast<std::size_t>(size));
  return {.bytes = bytes.first(ReadAt(fd.get(), 0, bytes, path, stop)), .skip = {}};
}

}  // namespace fastclip

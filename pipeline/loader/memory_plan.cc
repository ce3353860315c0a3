#include "pipeline/loader/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "pipeline/base/printable.h"
#include "tokenizer/tokenizer.h"

namespace fastclip {
namespace {

constexpr std::int64_t kMiB = std::int64_t{1} << 20;
constexpr std::int64_t kRecords = 256 * kMiB;
/// A picture of 8 megapixels decoded, twice.
constexpr std::int64_t kFewestRecords = 48 * kMiB;

std::int64_t BatchBytes(const LoaderOptions& options, int rows) {
  const std::int64_t pixels = std::int64_t{3} * options.image_size * options.image_size;
  const std::int64_t ids = std::int64_t{sizeof(TokenId)} * options.context_length;
  constexpr std::int64_t kBesides = 4 * sizeof(std::int64_t);
  return rows * (pixels + ids + kBesides);
}

}  // namespace

MemoryPlan PlanMemory(const LoaderOptions& options, int rows, int held) {
  if (options.memory_bytes == 0) return {options.prefetch, kRecords};
  const std::int64_t batch = std::max<std::int64_t>(1, BatchBytes(options, rows));
  const std::int64_t least = (held + 1) * batch + kFewestRecords;
  if (options.memory_bytes < least) {
    const std::int64_t mib = (least + kMiB - 1) / kMiB;
    throw std::invalid_argument(fmt::format(
        "pipeline.memory = {} bytes is too small for {} batches of {} ({} MiB each) and records; "
        "set at least {} ({} MiB), or use smaller batches",
        options.memory_bytes, held + 1, Counted(rows, "row"), (batch + kMiB - 1) / kMiB, mib * kMiB,
        mib));
  }
  const std::int64_t ahead = (options.memory_bytes - kFewestRecords) / batch - held;
  const int batches = static_cast<int>(std::min<std::int64_t>(ahead, options.prefetch));
  return {batches, options.memory_bytes - (batches + held) * batch};
}

}  // namespace fastclip

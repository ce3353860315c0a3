#include "pipeline/loader/loader_options.h"

#include <fmt/format.h>

#include <stdexcept>

#include "pipeline/loader/compute_pool.h"

namespace fastclip {

DecodeOptions TrainingDecodeOptions(const LoaderOptions& options) {
  DecodeOptions decode = options.decode;
  if (options.fast_pixels) decode.fast_side = options.image_size;
  return decode;
}

const LoaderOptions& CheckedOptions(const LoaderOptions& options) {
  const auto in_range = [](int value, int least, int most) {
    return value >= least && value <= most;
  };
  if (!in_range(options.threads, 1, kMostThreads) ||
      !in_range(options.io_threads, 1, kMostThreads) || options.prefetch < 1 ||
      !in_range(options.image_size, 1, kMaxImageSize) || options.context_length < 2) {
    throw std::invalid_argument(
        fmt::format("invalid loader options: threads and io_threads must be 1 to {}, prefetch at "
                    "least 1, image_size 1 to {}, context_length at least 2; got threads {}, "
                    "io_threads {}, prefetch {}, image_size {}, context_length {}",
                    kMostThreads, kMaxImageSize, options.threads, options.io_threads,
                    options.prefetch, options.image_size, options.context_length));
  }
  return options;
}

}  // namespace fastclip

#include "pipeline/loader/loader_options.h"

namespace fastclip {

DecodeOptions TrainingDecodeOptions(const LoaderOptions& options) {
  DecodeOptions decode = options.decode;
  if (options.fast_pixels) decode.fast_side = options.image_size;
  return decode;
}

}  // namespace fastclip

#pragma once

#include <string>
#include <vector>

#include "pipeline/sources/record_sample.h"

namespace fastclip {

/// Empty if some record of each part has an image, of a format that is read, and a caption.
/// Otherwise a message with what the records have instead and what to do. `option` sets the caption
/// keys, such as "data.captions"; empty if there is none. `list` was opened with `options`.
std::string DescribeLack(const std::vector<RecordSample>& samples, const std::string& list,
                         const SourceOptions& options, const std::string& option);

}  // namespace fastclip

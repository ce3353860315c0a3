#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "pipeline/records/picture_format.h"
#include "pipeline/sources/record_sample.h"

namespace fastclip {

/// Images of a sample that are of a format that `formats` does not have, by kind.
std::map<std::string, std::int64_t> FormatsOff(const RecordSample& sample,
                                               const PictureFormats& formats);
/// What to do about images of that kind: "GIF is off; add it with pipeline.formats=…". `option` is
/// as for DescribeLack.
std::string AdviceOnFormat(const std::string& kind, const PictureFormats& formats,
                           const std::string& option);

/// Empty if some record of each part has an image, of a format that is read, and a caption.
/// Otherwise a message with what the records have instead and what to do. `option` sets the caption
/// keys, such as "data.captions"; empty if there is none. `list` was opened with `options`.
std::string DescribeLack(const std::vector<RecordSample>& samples, const std::string& list,
                         const SourceOptions& options, const std::string& option);

}  // namespace fastclip

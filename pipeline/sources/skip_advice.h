#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "pipeline/records/picture_format.h"
#include "pipeline/sources/record_sample.h"

namespace fastclip {

// What to do about records that cannot be used. `option` sets the formats to read:
// "pipeline.formats", "--formats", or "" if only the run can.

/// In place of a format: bytes that begin like those of no format that is known.
inline constexpr const char* kNoImageFormat = "of no known format";

/// Images of a sample that are of a format that `formats` does not have, by kind.
std::map<std::string, std::int64_t> FormatsOff(const RecordSample& sample,
                                               const PictureFormats& formats);
/// A member of the sample's records that is an image of a format that `formats` does not have, as
/// "gif"; empty if there is none.
std::string MemberOff(const RecordSample& sample, const PictureFormats& formats);

/// "GIF is off; add it with pipeline.formats=…".
std::string AdviceOnFormat(const std::string& kind, const PictureFormats& formats,
                           const std::string& option);
/// The same for all that is off, a line each: "3 of 64 checked images are skipped (as a.gif): GIF
/// is off; …".
std::vector<std::string> AdviceOnFormats(const std::vector<RecordSample>& samples,
                                         const PictureFormats& formats, const std::string& option);
/// What is wrong with records that cannot be used for that reason, and what to do; empty if the
/// cause says it all. `file`: where they are.
std::string AdviceOnCause(Skip cause, const std::string& file);

/// The advice for what a command skipped of a source, a line each. Reads some records where their
/// formats may be the cause.
std::vector<std::string> AdviceOnSkips(const SkipCounts& skips, const RecordSource& source,
                                       const PictureFormats& formats, const std::string& option);

}  // namespace fastclip

#pragma once

#include <vector>

#include "pipeline/sources/open_source.h"
#include "pipeline/sources/record_sample.h"

namespace fastclip {

/// Prints what each part of a list contains, as text or as JSON. `samples`: one for each part, or
/// empty.
void PrintSource(const OpenedSource& opened, bool json,
                 const std::vector<RecordSample>& samples = {});

}  // namespace fastclip

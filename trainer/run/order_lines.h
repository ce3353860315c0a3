#pragma once

#include <optional>
#include <string>

#include "pipeline/order/order_plan.h"
#include "trainer/run/report_lines.h"

namespace fastclip {

/// Lines about the order of the records of `list` (data.train): lanes, chunks and tail, the mix of
/// its sources, and what a step and an epoch read. `record_bytes`: mean size of a record, if known.
void AddOrderLines(ReportLines& lines, const std::string& list, const OrderPlan& plan,
                   std::optional<double> record_bytes);

/// What to do if some bad records of a batch could not be replaced, because the batch takes more
/// than half of the records that are shuffled together. "" if all could.
std::string SubstituteWarning(const OrderPlan& plan);

}  // namespace fastclip

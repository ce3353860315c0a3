#include "trainer/run/order_lines.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "pipeline/base/printable.h"
#include "pipeline/shards/shard_list.h"
#include "trainer/run/planned_data.h"
#include "trainer/run/start_check.h"

namespace fastclip {

void AddOrderLines(ReportLines& lines, const std::string& list, const OrderPlan& plan,
                   std::optional<double> record_bytes) {
  const OrderOptions& order = plan.options();
  lines.Add("order", "{} of {}; {}; {}", Counted(order.lanes, "lane"),
            Counted(plan.rows_per_lane(), "row"), DescribeChunks(order), DescribeTail(plan));
  const std::vector<std::string> sources = SplitList(list);
  for (std::size_t part = 0; part < order.parts.size(); ++part) {
    const auto [size, rows] = order.parts[part];
    lines.Add("mix", "{}: {} of an epoch's {} samples, each record {:.3g} times{}",
              order.parts.size() == sources.size() ? sources[part] : list, rows, EpochRows(plan),
              static_cast<double>(rows) / static_cast<double>(size),
              order.resampled ? " on average" : "");
  }
  if (!record_bytes) {
    lines.Add("reads", "{} per step, {} per epoch", Counted(order.batch_size, "record"),
              plan.steps_per_epoch() * order.batch_size);
    return;
  }
  const auto of_records = [&](std::int64_t records) {
    return DescribeBytes(*record_bytes * static_cast<double>(records));
  };
  lines.Add("reads", "{} per step, {} per epoch{}", of_records(order.batch_size),
            of_records(plan.steps_per_epoch() * order.batch_size),
            order.chunk == 0 ? ""
                             : fmt::format(", {} ({}) at a time", of_records(order.chunk),
                                           Counted(order.chunk, "record")));
}

std::string SubstituteWarning(const OrderPlan& plan) {
  const OrderOptions& order = plan.options();
  const std::int64_t rows = plan.rows_without_substitute();
  if (rows == 0) return "";
  return fmt::format(
      "up to {} of a batch's {} records could not be replaced: if one of them is bad, the run "
      "ends; "
      "{}",
      rows, order.batch_size,
      plan.window_records() < plan.lane_size(order.lanes - 1)
          ? "use a larger data.window"
          : fmt::format("use a train.batch_size of at most {}",
                        std::max<std::int64_t>(order.size / 2, 1)));
}

}  // namespace fastclip

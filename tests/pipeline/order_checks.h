#pragma once

#include <stdexcept>
#include <string>

#include "pipeline/order/order_plan.h"

namespace fastclip {

/// What a row gets where every record is good.
inline RowPlan Filled(const OrderPlan& plan, std::int64_t step, std::int64_t row) {
  for (std::int64_t attempt = 0;; ++attempt) {
    if (const auto planned = plan.Row(step, row, attempt)) return *planned;
  }
}

/// Why a plan of these options is refused; empty where it is not.
inline std::string ErrorOf(const OrderOptions& options) {
  try {
    OrderPlan plan(options);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

}  // namespace fastclip

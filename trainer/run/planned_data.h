#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/order/order_plan.h"
#include "pipeline/sources/open_source.h"
#include "trainer/config/config.h"

namespace fastclip {

/// What a dry run says of data and order.

/// data.train; or, where `samples` are given, so many records for each of its sources, which need
/// not be there yet. Throws ConfigError and what OpenSource() throws.
OpenedSource OpenPlanned(const LoadedConfig& config, const std::vector<std::int64_t>& samples);
/// Bytes of picture and captions, of some records that are spread over all.
double MeanRecordBytes(const RecordSource& source);

/// "chunks of 4 records, windows of 1024 records".
std::string DescribeChunks(const OrderOptions& order);
/// What an epoch's last batch means for the records.
std::string DescribeTail(const OrderPlan& plan);
/// Rows of an epoch of a mix; 0 of one source.
std::int64_t EpochRows(const OrderPlan& plan);

}  // namespace fastclip

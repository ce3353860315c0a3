#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/order/order_plan.h"
#include "pipeline/sources/open_source.h"
#include "trainer/config/config.h"
#include "trainer/eval/class_set.h"

namespace fastclip {

/// What a dry run reports about data and order.

/// Opens data.train, or if `samples` is not empty, plans that number of records for each of its
/// sources, which need not exist. With labels if there are `classes`. Throws ConfigError and what
/// OpenSource() throws.
OpenedSource OpenPlanned(const LoadedConfig& config, const std::vector<std::int64_t>& samples,
                         const ClassSet& classes);
/// "; image from 'path', captions from 'text'; 1 file scanned, …": what else to say of a part, or
/// "".
std::string DescribeReading(const PartInfo& part);
/// Mean bytes of image and captions, over some records spread over the source.
double MeanRecordBytes(const RecordSource& source);

/// "chunks of 4 records, windows of 1024 records".
std::string DescribeChunks(const OrderOptions& order);
/// What happens to records that do not fill the last batch.
std::string DescribeTail(const OrderPlan& plan);
/// Rows of an epoch of a mix; 0 if there is only one source.
std::int64_t EpochRows(const OrderPlan& plan);

}  // namespace fastclip

#include "trainer/run/planned_data.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "pipeline/base/printable.h"
#include "pipeline/shards/shard_list.h"
#include "trainer/run/run_setup.h"

namespace fastclip {

std::string DescribeChunks(const OrderOptions& order) {
  const auto records = [](std::int64_t number) {  // 0: a mix, in which each source has its own
    return number == 0 ? "by the size of each source" : "of " + Counted(number, "record");
  };
  return fmt::format("chunks {}, windows {}", records(order.chunk), records(order.window));
}

std::int64_t EpochRows(const OrderPlan& plan) {
  std::int64_t rows = 0;
  for (const MixPart& part : plan.options().parts) rows += part.rows;
  return rows;
}

std::string DescribeTail(const OrderPlan& plan) {
  const OrderOptions& order = plan.options();
  const std::int64_t rows = plan.steps_per_epoch() * order.batch_size;
  if (order.tail == Tail::kCarry)
    return "records that do not fill the last batch start the next epoch";
  if (order.resampled) return fmt::format("an epoch is {} samples, drawn with replacement", rows);
  if (!order.parts.empty()) return fmt::format("an epoch is {} samples", rows);
  return order.tail == Tail::kPad
             ? fmt::format("{} per epoch repeat a record", Counted(rows - order.size, "row"))
             : fmt::format("{} dropped per epoch", Counted(order.size - rows, "record"));
}

OpenedSource OpenPlanned(const LoadedConfig& config, const std::vector<std::int64_t>& samples,
                         const ClassSet& classes) {
  if (samples.empty()) {
    return OpenListOf(config, "data.train", config->data.train, TrainSourceOf(*config, classes));
  }
  const std::size_t sources = SplitList(config->data.train).size();
  const MixOptions& mix = config->data.mix;
  const bool mixed = !mix.weights.empty() || !mix.repeats.empty() || !mix.counts.empty();
  if (samples.size() != sources && (samples.size() != 1 || mixed)) {
    throw ConfigError(fmt::format(
        "--samples has {}, but data.train has {}; set one number per source, separated by commas",
        Counted(std::ssize(samples), "number"),
        Counted(static_cast<std::int64_t>(sources), "source")));
  }
  std::vector<std::string> parts;
  for (const std::int64_t count : samples) parts.push_back(fmt::format("synthetic:{}", count));
  return OpenSourceWithInfo(fmt::format("{}", fmt::join(parts, "::")), {});
}

std::string DescribeReading(const PartInfo& part) {
  return fmt::format("{}{}", part.kind == "table" ? "; " + part.details : "",
                     part.walked == 0 ? ""
                                      : fmt::format("; {} scanned, no index written (dry run)",
                                                    Counted(part.walked, "file")));
}

double MeanRecordBytes(const RecordSource& source) {
  constexpr std::int64_t kLooks = 32;
  const std::int64_t looks = std::min(source.size(), kLooks);
  double bytes = 0;
  for (std::int64_t i = 0; i < looks; ++i) {
    const RecordBlock block = source.Read(SampleIndex{i * source.size() / looks}, 1, {});
    bytes += static_cast<double>(block.records.front().image.size());
    for (const Caption& caption : block.records.front().captions) {
      bytes += static_cast<double>(caption.text.size());
    }
  }
  return bytes / static_cast<double>(std::max<std::int64_t>(looks, 1));
}

}  // namespace fastclip

#include "trainer/run/ranks.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <stdexcept>

#include "comm/exchange.h"
#include "pipeline/base/printable.h"
#include "trainer/base/versions.h"
#include "trainer/config/config_keys.h"

namespace fastclip {
namespace {

std::int64_t NearestLanes(std::int64_t batch_size, std::int64_t lanes, int step, int least) {
  for (std::int64_t distance = 0; distance <= batch_size; ++distance) {
    for (const std::int64_t candidate : {lanes - distance, lanes + distance}) {
      if (candidate >= least && candidate <= batch_size && candidate % step == 0 &&
          batch_size % candidate == 0) {
        return candidate;
      }
    }
  }
  return 0;
}

}  // namespace

void RefuseDifferences(const std::vector<std::pair<std::string, std::string>>& values,
                       Communicator& comm, const std::string& advice) {
  // JSON must be UTF-8, but a path can hold any bytes.
  std::vector<std::pair<std::string, std::string>> texts;
  for (const auto& [name, value] : values) texts.emplace_back(name, PrintableLines(value));
  const auto all = GatherTexts(comm, nlohmann::json(texts).dump());
  const auto first = nlohmann::json::parse(all.front());
  for (std::size_t rank = 1; rank < all.size(); ++rank) {
    const auto other = nlohmann::json::parse(all[rank]);
    for (std::size_t i = 0; i < std::min(first.size(), other.size()); ++i) {
      if (first[i] == other[i]) continue;
      throw std::runtime_error(
          fmt::format("the ranks differ: {} is {} on rank {}, but {} on rank 0; {}",
                      other[i][0].get<std::string>(), other[i][1].get<std::string>(), rank,
                      first[i][1].get<std::string>(), advice));
    }
    if (first.size() != other.size()) {
      throw std::runtime_error(fmt::format(
          "the ranks differ: rank {} runs a different build than rank 0; use the same build on all",
          rank));
    }
  }
}

void RefuseOtherConfigs(const LoadedConfig& config, Communicator& comm) {
  std::vector<std::pair<std::string, std::string>> values;
  for (const auto& [name, version] : Versions()) values.emplace_back(name, version);
  for (const auto& [key, value] : config.table().Values()) {
    const KeyInfo* info = FindKey(key);
    if (info == nullptr || !info->per_host) values.emplace_back(key, value);
  }
  // To open and to evaluate them are collectives.
  values.emplace_back("data.val", config->data.val.empty() ? "empty" : "set");
  values.emplace_back("eval.zeroshot", config->eval.zeroshot.empty() ? "empty" : "set");
  RefuseDifferences(values, comm);
}

std::int64_t EvenDataLanes(const OrderPlan& plan, int world_size) {
  return NearestLanes(plan.options().batch_size, plan.options().lanes, world_size, world_size);
}

namespace {

std::vector<std::int64_t> FittingLanes(const LoadedConfig& config, const OrderPlan& plan,
                                       int world_size) {
  const std::int64_t lanes = plan.options().lanes, batch_size = plan.options().batch_size;
  const std::vector<std::int64_t>& given = config->data.lanes_per_rank;
  if (!given.empty()) {
    const auto sum = std::accumulate(given.begin(), given.end(), std::int64_t{0});
    if (given.size() == static_cast<std::size_t>(world_size) && sum == lanes) return given;
    throw config.table().Error("data.lanes_per_rank",
                               fmt::format("lists {} with {} in total, but there are {} and {}",
                                           Counted(std::ssize(given), "rank"), Counted(sum, "lane"),
                                           Counted(world_size, "rank"), Counted(lanes, "lane")));
  }
  if (world_size <= lanes) return plan.EvenLanes(world_size);
  std::int64_t fits = EvenDataLanes(plan, world_size);
  if (fits == 0) fits = NearestLanes(batch_size, lanes, /*step=*/1, world_size);
  throw config.table().Error(
      "data.lanes", fmt::format("{} ranks cannot share {} of a batch of {}; {}", world_size,
                                Counted(lanes, "lane"), batch_size,
                                fits == 0 ? std::string("use fewer ranks or a larger batch")
                                          : fmt::format("set data.lanes = {}", fits)));
}

}  // namespace

std::vector<std::int64_t> LanesPerRank(const LoadedConfig& config, const OrderPlan& plan,
                                       int world_size) {
  std::vector<std::int64_t> lanes = FittingLanes(config, plan, world_size);
  const std::int64_t rows = *std::ranges::min_element(lanes) * plan.rows_per_lane();
  if (rows < config->train.micro_batches) {
    throw config.table().Error("train.micro_batches",
                               fmt::format("{} is more than the {} of a rank",
                                           config->train.micro_batches, Counted(rows, "row")));
  }
  return lanes;
}

std::vector<std::int64_t> RowsPerRank(std::vector<std::int64_t> lanes_per_rank,
                                      const OrderPlan& plan) {
  for (std::int64_t& rows : lanes_per_rank) rows *= plan.rows_per_lane();
  return lanes_per_rank;
}

std::string DescribeRows(const std::vector<std::int64_t>& lanes_per_rank, const OrderPlan& plan) {
  const std::vector<std::int64_t> rows = RowsPerRank(lanes_per_rank, plan);
  const auto [least, most] = std::ranges::minmax(rows);
  std::string text = least == most ? fmt::format("{} of a batch each", Counted(most, "row"))
                                   : fmt::format("{} to {} rows of a batch each", least, most);
  const double idle = IdleShare(lanes_per_rank);
  if (idle > 0) {
    text += fmt::format("; each step waits for the largest, so the ranks idle {:.0f}% of the time",
                        100 * idle);
  }
  return text;
}

double IdleShare(const std::vector<std::int64_t>& lanes_per_rank) {
  const auto sum = std::accumulate(lanes_per_rank.begin(), lanes_per_rank.end(), std::int64_t{0});
  const auto most = *std::ranges::max_element(lanes_per_rank);
  return 1 - static_cast<double>(sum) / static_cast<double>(most * std::ssize(lanes_per_rank));
}

}  // namespace fastclip

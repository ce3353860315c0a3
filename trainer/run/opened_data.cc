#include "trainer/run/opened_data.h"

#include <fmt/format.h>

#include <utility>

#include "comm/exchange.h"
#include "pipeline/base/printable.h"
#include "trainer/run/ranks.h"
#include "trainer/run/run_setup.h"

namespace fastclip {
namespace {

/// Opens the list of a config key. Rank 0 checks some records for all.
OpenedSource OpenList(const LoadedConfig& config, const char* key, const std::string& list,
                      const SourceOptions& options, const ClassSet& classes, Communicator& comm,
                      Console& console) {
  const SourceOptions own = OfRank(options, list, comm);
  return Rank0First(comm, [&] {
    OpenedSource opened = OpenListOf(config, key, list, own);
    for (const std::string& line : WarningLines(opened.parts)) console.Say("warning: " + line);
    if (comm.rank() == 0) {
      for (const auto& line : LookAtData(config, key, list, *opened.source, options, classes)) {
        console.Say(line);
      }
    }
    for (const PartInfo& part : opened.parts) {
      if (part.kind != "table") continue;
      console.Say(fmt::format("{}: {}: {}", key, Printable(part.part), Printable(part.details)));
    }
    return opened;
  });
}

ZeroShotSet OpenZeroShot(const LoadedConfig& config, Communicator& comm, Console& console) {
  const SourceOptions own = OfRank(OtherSourceOf(*config), config->eval.zeroshot, comm);
  return Rank0First(comm, [&] {
    ZeroShotSet set = ZeroShotSet::Open(config, own);
    for (const std::string& line : set.Remarks()) console.Say(line);
    return set;
  });
}

}  // namespace

SourceOptions OfRank(SourceOptions options, const std::string& list, Communicator& comm) {
  const std::string mine = list + '\n' + options.manifest;
  const bool compared = GatherTexts(comm, mine).front() == mine;
  options.trust_manifest = comm.rank() != 0 && compared;
  return options;
}

OpenedData OpenData(const LoadedConfig& config, const ClassSet& classes, Communicator& comm,
                    Console& console) {
  OpenedSource train = OpenList(config, "data.train", config->data.train,
                                TrainSourceOf(*config, classes), classes, comm, console);
  std::unique_ptr<RecordSource> val;
  if (!config->data.val.empty()) {
    val = OpenList(config, "data.val", config->data.val, ValSourceOf(*config, classes), classes,
                   comm, console)
              .source;
  }
  ZeroShotSet zeroshot = OpenZeroShot(config, comm, console);
  OrderPlan plan = PlanOfData(config, train);
  std::vector<std::int64_t> lanes_per_rank = LanesPerRank(config, plan, comm.world_size());
  const LaneRange lanes = plan.LanesOf(comm.rank(), lanes_per_rank);
  return {.files = std::move(train.files),
          .train = std::move(train.source),
          .val = std::move(val),
          .zeroshot = std::move(zeroshot),
          .plan = std::move(plan),
          .lanes_per_rank = std::move(lanes_per_rank),
          .lanes = lanes};
}

}  // namespace fastclip

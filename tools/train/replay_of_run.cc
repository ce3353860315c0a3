#include <filesystem>
#include <utility>

#include "pipeline/sources/open_source.h"
#include "tools/cli/tell.h"
#include "tools/data/replay_setup.h"
#include "trainer/config/config.h"
#include "trainer/run/run_setup.h"

namespace fastclip {

/// Is an OpenRun.
ReplaySetup SetupOfRun(const std::string& path, bool verify) {
  const LoadedConfig config(path, {});
  RunShape shape(config);
  SourceOptions options = TrainSourceOf(*config, shape.classes);
  options.verify_checksums |= verify;
  // A config whose run has not begun has no folder yet.
  if (!std::filesystem::is_directory(config->run)) options.manifest_fallback_dir.clear();
  OpenedSource opened = OpenSourceWithInfo(config->data.train, options);
  for (const std::string& line : WarningLines(opened.parts)) Tell("{}\n", line);
  OrderPlan plan = PlanOf(config, *opened.source);
  return {std::move(opened.source), std::move(plan), std::move(shape.tokenizer),
          std::move(shape.loader), config->train.epochs};
}

}  // namespace fastclip

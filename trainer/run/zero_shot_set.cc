#include "trainer/run/zero_shot_set.h"

#include <stdexcept>
#include <utility>

#include "trainer/eval/zero_shot.h"
#include "trainer/run/run_setup.h"

namespace fastclip {

ZeroShotSet ZeroShotSet::Open(const LoadedConfig& config, SourceOptions options) {
  const TrainConfig::Eval& eval = config->eval;
  ZeroShotSet set;
  if (eval.zeroshot.empty()) return set;
  const auto checked = [&](const char* key, auto&& read) {
    try {
      return read();
    } catch (const std::runtime_error& error) {
      throw config.table().Error(key, WithKeys(error.what()));
    } catch (const std::invalid_argument& error) {
      throw config.table().Error(key, error.what());
    }
  };
  const ClassList classes = checked(
      "eval.zeroshot_classes", [&] { return OpenClasses(eval.zeroshot_classes, eval.zeroshot); });
  set.prompts.classes = classes.prompts;
  set.names = classes.names;
  set.prompts.templates =
      checked("eval.zeroshot_templates", [&] { return ReadTemplates(eval.zeroshot_templates); });
  options.labels = eval.zeroshot_label_key;
  options.class_names = classes.names;
  checked("eval.zeroshot", [&] {
    OpenedSource opened = OpenSourceWithInfo(eval.zeroshot, options);
    set.source = std::move(opened.source);
    set.parts = std::move(opened.parts);
    CheckLabels(*set.source, static_cast<std::int64_t>(set.prompts.classes.size()), eval.zeroshot,
                classes.from, *classes.names);
  });
  return set;
}

std::vector<std::string> ZeroShotSet::Remarks() const {
  std::vector<std::string> remarks = FolderLines(parts);
  for (const std::string& line : WarningLines(parts)) remarks.push_back("warning: " + line);
  return remarks;
}

}  // namespace fastclip

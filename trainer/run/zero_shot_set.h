#pragma once

#include <memory>
#include <string>
#include <vector>

#include "pipeline/records/class_names.h"
#include "pipeline/sources/open_source.h"
#include "trainer/config/config.h"
#include "trainer/eval/class_prompts.h"

namespace fastclip {

/// The pictures and classes of eval.zeroshot; no source where it is not asked for.
struct ZeroShotSet {
  std::unique_ptr<RecordSource> source;
  std::vector<PartInfo> parts;  ///< of the source
  ClassPrompts prompts;
  std::shared_ptr<const ClassNames> names;

  /// Reads the class file and the templates and looks at some labels. Throws ConfigError, naming
  /// the key, where they cannot be used.
  static ZeroShotSet Open(const LoadedConfig& config, SourceOptions options);
  /// What is wrong with the set, and what of a folder of classes is not used.
  std::vector<std::string> Remarks() const;
};

}  // namespace fastclip

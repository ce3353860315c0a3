#pragma once

#include <memory>
#include <string>
#include <vector>

#include "pipeline/records/class_names.h"
#include "pipeline/sources/open_source.h"
#include "trainer/config/config.h"
#include "trainer/eval/class_prompts.h"

namespace fastclip {

/// The images and classes of eval.zeroshot; no source if it is not set.
struct ZeroShotSet {
  std::unique_ptr<RecordSource> source;
  std::vector<PartInfo> parts;  ///< of the source
  ClassPrompts prompts;
  std::shared_ptr<const ClassNames> names;

  /// Reads the class file and the templates and checks some labels. Throws ConfigError with the key
  /// if they cannot be used.
  static ZeroShotSet Open(const LoadedConfig& config, SourceOptions options);
  /// Warnings about the set, and about unused parts of a folder of classes.
  std::vector<std::string> Remarks() const;
};

}  // namespace fastclip

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "pipeline/records/class_names.h"
#include "pipeline/sources/open_source.h"

namespace fastclip {

/// The classes that a head learns.
struct ClassSet {
  std::int64_t count = 0;                      ///< 0: there are none
  std::vector<std::string> names;              ///< for people and prompts; empty: numbers alone
  std::shared_ptr<const ClassNames> labels{};  ///< for labels that are names
  std::string from;                            ///< for messages: the file, the list or the number

  std::string Describe() const;  ///< "10 classes, birds.txt"
  /// Makes records images with labels, which are at `label_key`.
  SourceOptions Labelled(SourceOptions options, const std::string& label_key) const;
};

/// `classes`: a number of classes without names, else what OpenClasses() takes, for the classes of
/// `list`. Throws std::runtime_error.
ClassSet OpenClassSet(const std::string& classes, const std::string& list);

}  // namespace fastclip

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "pipeline/records/class_names.h"

namespace fastclip {

/// Names of classes and sentences to put them into.
struct ClassPrompts {
  std::vector<std::string> classes;    ///< the place, from 0, is the label
  std::vector<std::string> templates;  ///< each with "{}" or "{c}" where the name goes

  /// The sentence of a class: every slot replaced.
  std::string Sentence(std::size_t which_class, std::size_t which_template) const;
};

/// Class names, one a line: the line's number, from 0, is the label. `file_or_set` is a file, or
/// the name of a set that lies in the share folder ("imagenet" is classes/imagenet.txt, which
/// set-up makes). Blanks at the ends of a line are dropped. Names may be equal: see EqualNames.
/// Throws std::runtime_error that names file and line and says what to do: a blank line, fewer
/// than two names, a file over 64 MiB.
std::vector<std::string> ReadClasses(const std::string& file_or_set);

/// Classes that share a name, capitals aside. Each is a class of its own, as in OpenCLIP; a model
/// gives them one score, so that they tie. ImageNet's list has two pairs.
struct EqualNames {
  std::string name;                 ///< as the first of them has it
  std::vector<std::int64_t> lines;  ///< from 1
};
std::vector<EqualNames> FindEqualNames(const std::vector<std::string>& classes);
/// "'missile' (lines 658, 745), 'sunglasses' (lines 837, 838)", of many the first ones; empty where
/// there are none.
std::string DescribeEqualNames(const std::vector<EqualNames>& equal);

/// The classes of an evaluation.
struct ClassList {
  std::vector<std::string> prompts;         ///< what goes into templates
  std::shared_ptr<const ClassNames> names;  ///< for labels that are names
  std::string from;                         ///< the file, or the list
};
/// ReadClasses; where `file_or_set` is empty and `list` names folders of classes, their names, "_"
/// in them read as a blank. Throws as ReadClasses does, and where neither is given.
ClassList OpenClasses(const std::string& file_or_set, const std::string& list);

/// Templates, one a line, each with a slot, "{}" or "{c}"; "openai" and "simple" are sets, in
/// templates/. A line may stand as in OpenCLIP's source: lambda c: f'a photo of a {c}.',
/// Throws as ReadClasses does: a blank line, a line without a slot, an empty file.
std::vector<std::string> ReadTemplates(const std::string& file_or_set);

}  // namespace fastclip

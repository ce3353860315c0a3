#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "pipeline/records/class_names.h"
#include "trainer/eval/equal_names.h"

namespace fastclip {

/// Class names and prompt templates.
struct ClassPrompts {
  std::vector<std::string> classes;    ///< the index is the label
  std::vector<std::string> templates;  ///< each with "{}" or "{c}" where the name goes

  /// The template with every slot replaced by the class name.
  std::string Sentence(std::size_t which_class, std::size_t which_template) const;
};

/// Reads class names, one per line; the line number, from 0, is the label. `file_or_set` is a file,
/// or the name of a set in the share folder ("imagenet" is classes/imagenet.txt, made by set-up).
/// Lines are trimmed. Names can be equal: see equal_names.h. Throws std::runtime_error with file,
/// line and what to do for a blank line, fewer than 2 names, or a file over 64 MiB.
std::vector<std::string> ReadClasses(const std::string& file_or_set);

/// The classes of an evaluation.
struct ClassList {
  std::vector<std::string> prompts;         ///< names for the templates
  std::shared_ptr<const ClassNames> names;  ///< for labels that are names
  std::string from;                         ///< the file, or the list
};
/// ReadClasses, or if `file_or_set` is empty the folder names of the class folders in `list`, with
/// "_" read as a space. Throws like ReadClasses, and if there are neither.
ClassList OpenClasses(const std::string& file_or_set, const std::string& list);

/// Reads templates, one per line, each with a slot "{}" or "{c}"; "openai" and "simple" are sets in
/// templates/. A line can be copied from OpenCLIP's source: lambda c: f'a photo of a {c}.',
/// Throws like ReadClasses for a blank line, a line without a slot, or an empty file.
std::vector<std::string> ReadTemplates(const std::string& file_or_set);

}  // namespace fastclip

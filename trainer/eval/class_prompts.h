#pragma once

#include <string>
#include <vector>

namespace fastclip {

/// Names of classes and sentences to put them into.
struct ClassPrompts {
  std::vector<std::string> classes;    ///< the place, from 0, is the label
  std::vector<std::string> templates;  ///< each with "{}" where the name goes

  /// The sentence of a class: every "{}" replaced.
  std::string Sentence(std::size_t which_class, std::size_t which_template) const;
};

/// Class names, one a line: the line's number, from 0, is the label. `file_or_set` is a file, or
/// the name of a set that lies in the share folder ("imagenet" is classes/imagenet.txt, which
/// set-up makes). Blanks at the ends of a line are dropped. Throws std::runtime_error that names
/// file and line and says what to do: a blank line, a name that another line has too (capitals
/// aside), fewer than two names. A set may have equal names, as ImageNet's has two pairs: they are
/// one name to a model, and tie.
std::vector<std::string> ReadClasses(const std::string& file_or_set);

/// Templates, one a line, each with a slot "{}"; "openai" and "simple" are sets, in templates/.
/// Throws as ReadClasses does: a blank line, a line without a slot, an empty file.
std::vector<std::string> ReadTemplates(const std::string& file_or_set);

}  // namespace fastclip

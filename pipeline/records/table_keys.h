#pragma once

#include <string>

namespace fastclip {

/// User-set columns of tables; unset ones are found by their usual names.
struct TableKeys {
  /// The column of the image path; in a .jsonl the field (NAME, or json.A.B for B in A).
  std::string image{};
  /// The same for the caption.
  std::string caption{};
  /// Separator of a .csv or .tsv; 0: detected from the first line.
  char separator = '\0';

  bool any() const { return !image.empty() || !caption.empty() || separator != '\0'; }
};

/// Parses one character, "tab" or "\t". Throws std::invalid_argument with the reason.
char ParseSeparator(const std::string& text);

}  // namespace fastclip

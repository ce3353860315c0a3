#pragma once

#include <string>

namespace fastclip {

/// What the user says of the columns of tables; what is left open is found by their usual names.
struct TableKeys {
  /// The column, or in a .jsonl the field (NAME, or json.A.B for B in A), of the image's path.
  std::string image{};
  /// The same of the caption.
  std::string caption{};
  /// Between the fields of a .csv or .tsv; 0: what the first line shows.
  char separator = '\0';

  bool any() const { return !image.empty() || !caption.empty() || separator != '\0'; }
};

/// One character as users write it, or "tab" or "\t". Throws std::invalid_argument with what is wrong.
char ParseSeparator(const std::string& text);

}  // namespace fastclip

#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace fastclip {

/// Characters that `text` (UTF-8) takes on a terminal, taken as one column each.
std::size_t Columns(const std::string& text);

/// The state of some work as a line of fields, and a bar. On a narrow terminal the least important
/// fields are left out.
class StatusLine {
 public:
  StatusLine() = default;
  /// A line of one field.
  StatusLine(std::string text) { Add(0, std::move(text)); }  // NOLINT: a string is a status

  /// Adds a field behind the others; empty ones are ignored. Fields with a larger `rank` go first
  /// where space is short, those of rank 0 never.
  StatusLine& Add(int rank, std::string text);
  /// Shows a bar of `share` (0 to 1) behind the fields that were added so far, where space is left.
  StatusLine& Bar(double share);

  /// All fields, two spaces between them, without the bar: for files and pipes.
  std::string Whole() const;
  /// What fits `columns`; cut off with "…" where even the fields of rank 0 do not. `colour`: the
  /// bar is green.
  std::string Fit(std::size_t columns, bool colour) const;

 private:
  struct Field {
    int rank = 0;
    std::string text;
  };
  std::vector<Field> fields_;
  std::optional<double> share_;
  std::size_t bar_at_ = 0;  // fields before it
};

}  // namespace fastclip

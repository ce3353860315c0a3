#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace fastclip {

// Rows and fields of separated text as pandas.read_csv and RFC 4180 read them. A quote opens only
// at the start of a field; within quotes, separators and line breaks are text and two quotes are
// one; text after a closing quote is kept as it is, quotes included. A row ends at LF, CR or CR LF.

/// Finds the end of a row in text that arrives in pieces.
class RowScanner {
 public:
  /// Any of `separators` ends a field.
  explicit RowScanner(std::string_view separators);
  /// The next byte is the first of a row.
  void Begin() { state_ = State::kFieldStart; }
  /// Continues at `from`, where the last call stopped. Returns the position of the LF or CR that
  /// ends the row, or text.size() if more text is needed. The LF of a CR LF is left as an empty
  /// row, which is ignored.
  std::size_t FindEnd(std::string_view text, std::size_t from);
  bool in_quotes() const { return state_ == State::kQuoted; }

 private:
  enum class State : std::uint8_t { kFieldStart, kPlain, kQuoted, kQuoteInQuotes };
  enum : std::uint8_t { kText, kSeparator, kBreak };
  std::array<std::uint8_t, 256> kinds_{};
  State state_ = State::kFieldStart;
};

/// The fields of one row, without its line break, one after the other.
class FieldReader {
 public:
  /// `row` must outlive this.
  FieldReader(std::string_view row, char separator) : rest_(row), separator_(separator) {}
  /// Moves to the next field; false after the last one.
  bool Next();
  /// The field's text, its quotes resolved.
  std::string Text() const;
  /// Whether the field's quotes are not closed.
  bool is_open() const { return open_; }
  /// Whether the field has a line break within quotes and text after them: the quotes were meant as
  /// text and merged several rows into one.
  bool is_merged() const { return merged_; }

 private:
  std::size_t EndOfQuoted();

  std::string_view rest_, field_;
  const char separator_;
  bool at_end_ = false;
  bool open_ = false;
  bool merged_ = false;
};

}  // namespace fastclip

#include "pipeline/base/separated_text.h"

#include <algorithm>

namespace fastclip {

RowScanner::RowScanner(std::string_view separators) {
  for (const char c : separators) kinds_[static_cast<unsigned char>(c)] = kSeparator;
  kinds_['\n'] = kinds_['\r'] = kBreak;
}

std::size_t RowScanner::FindEnd(std::string_view text, std::size_t from) {
  const auto kind = [&](std::size_t i) { return kinds_[static_cast<unsigned char>(text[i])]; };
  std::size_t i = from;
  while (i < text.size()) {
    if (state_ == State::kPlain) {
      while (i < text.size() && kind(i) == kText) ++i;
      if (i == text.size()) break;
    } else if (state_ == State::kQuoted) {
      i = text.find('"', i);
      if (i == text.npos) return text.size();
      state_ = State::kQuoteInQuotes;
      ++i;
      continue;
    } else if (text[i] == '"') {  // the first byte of a field, or the second of two quotes
      state_ = State::kQuoted;
      ++i;
      continue;
    }
    if (kind(i) == kBreak) return i;
    state_ = kind(i) == kSeparator ? State::kFieldStart : State::kPlain;
    ++i;
  }
  return text.size();
}

/// Where the field that begins with a quote ends.
std::size_t FieldReader::EndOfQuoted() {
  std::size_t i = 1;
  for (;;) {
    i = rest_.find('"', i);
    if (i == rest_.npos) {
      open_ = true;
      return rest_.size();
    }
    if (i + 1 == rest_.size() || rest_[i + 1] != '"') break;
    i += 2;
  }
  const std::size_t end = std::min(rest_.find(separator_, i + 1), rest_.size());
  const std::string_view behind = rest_.substr(i + 1, end - i - 1);
  merged_ = behind.find_first_not_of(" \t") != behind.npos &&
            rest_.substr(0, i).find_first_of("\r\n") != rest_.npos;
  return end;
}

bool FieldReader::Next() {
  if (at_end_) return false;
  open_ = merged_ = false;
  const std::size_t end =
      rest_.starts_with('"') ? EndOfQuoted() : std::min(rest_.find(separator_), rest_.size());
  field_ = rest_.substr(0, end);
  at_end_ = end == rest_.size();
  rest_.remove_prefix(std::min(end + 1, rest_.size()));
  return true;
}

std::string FieldReader::Text() const {
  if (!field_.starts_with('"')) return std::string(field_);
  std::string text;
  std::size_t i = 1;
  for (;;) {
    const std::size_t quote = std::min(field_.find('"', i), field_.size());
    text.append(field_, i, quote - i);
    i = quote + 1;
    if (i >= field_.size()) return text;
    if (field_[i] != '"') return text.append(field_, i);
    text += '"';
    ++i;
  }
}

}  // namespace fastclip

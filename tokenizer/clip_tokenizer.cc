#include "tokenizer/clip_tokenizer.h"

#include <fmt/format.h>
#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include <limits>
#include <stdexcept>

#include "tokenizer/text_cleanup.h"
#include "tokenizer/unicode_text.h"

namespace fastclip {
namespace {

constexpr std::string_view kStart = "<start_of_text>";
constexpr std::string_view kEnd = "<end_of_text>";

enum class Kind { kLetter, kNumber, kSpace, kOther };

Kind KindOf(UChar32 c) {
  const auto category = U_MASK(u_charType(c));
  if (category & U_GC_L_MASK) return Kind::kLetter;
  if (category & U_GC_N_MASK) return Kind::kNumber;
  return c == ' ' ? Kind::kSpace : Kind::kOther;
}

UChar32 NextCharacter(std::string_view text, std::size_t& at) {
  UChar32 c;
  U8_NEXT_OR_FFFD(text.data(), at, text.size(), c);
  return c;
}

// The length of `literal` at the start of `text`, or 0. The expression ignores case, and of what
// lower case leaves, the long s (U+017F) still equals an s.
std::size_t LiteralLength(std::string_view text, std::string_view literal) {
  std::size_t at = 0;
  for (const char expected : literal) {
    if (at >= text.size()) return 0;
    const UChar32 c = NextCharacter(text, at);
    if (c != expected && !(expected == 's' && c == 0x017F)) return 0;
  }
  return at;
}

}  // namespace

std::size_t WordLength(std::string_view text) {
  if (text.front() == '<') {
    for (const std::string_view token : {kStart, kEnd}) {
      if (const std::size_t length = LiteralLength(text, token)) return length;
    }
  }
  if (text.front() == '\'') {
    for (const std::string_view ending : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"}) {
      if (const std::size_t length = LiteralLength(text, ending)) return length;
    }
  }
  std::size_t end = 0;
  const Kind kind = KindOf(NextCharacter(text, end));
  if (kind == Kind::kNumber) return end;
  while (end < text.size()) {
    std::size_t next = end;
    if (KindOf(NextCharacter(text, next)) != kind) break;
    end = next;
  }
  return end;
}

ClipTokenizer::ClipTokenizer(const std::string& vocabulary) : pairs_(BytePair::Load(vocabulary)) {}

SpecialTokens ClipTokenizer::special() const {
  return {.start = pairs_.size(), .end = pairs_.size() + 1, .pad = 0};
}

int ClipTokenizer::vocab_size() const { return pairs_.size() + 2; }

std::vector<TokenId> ClipTokenizer::Encode(std::string_view text) const {
  return EncodePrefix(text, std::numeric_limits<std::size_t>::max());
}

std::vector<TokenId> ClipTokenizer::EncodePrefix(std::string_view text, std::size_t limit) const {
  const std::string clean = CleanCaption(text);
  std::vector<TokenId> ids;
  std::string_view rest = clean;
  while (!rest.empty() && ids.size() < limit) {
    if (rest.front() == ' ') {
      rest.remove_prefix(1);
      continue;
    }
    const std::string_view word = rest.substr(0, WordLength(rest));
    rest.remove_prefix(word.size());
    if (word == kStart) {
      ids.push_back(special().start);
    } else if (word == kEnd) {
      ids.push_back(special().end);
    } else {
      pairs_.Append(word, ids);
    }
  }
  if (ids.size() > limit) ids.resize(limit);
  return ids;
}

std::string ClipTokenizer::Decode(std::span<const TokenId> ids) const {
  std::string bytes;
  for (const TokenId id : ids) {
    if (id < 0 || id >= vocab_size()) {
      throw std::out_of_range(
          fmt::format("token {} is not in this vocabulary of {} ids", id, vocab_size()));
    }
    if (id >= pairs_.size()) {
      bytes += id == special().start ? kStart : kEnd;
      continue;
    }
    bytes += pairs_.bytes(id);
    if (pairs_.ends_word(id)) bytes += ' ';
  }
  return EncodeUtf8(DecodeUtf8(bytes));
}

}  // namespace fastclip

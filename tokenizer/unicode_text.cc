#include "tokenizer/unicode_text.h"

#include <unicode/locid.h>
#include <unicode/normalizer2.h>
#include <unicode/unistr.h>
#include <unicode/utf8.h>

#include <algorithm>
#include <new>
#include <stdexcept>

namespace fastclip {
namespace {

icu::UnicodeString ToUtf16(std::u32string_view text) {
  return icu::UnicodeString::fromUTF32(reinterpret_cast<const UChar32*>(text.data()), text.size());
}

std::u32string ToUtf32(const icu::UnicodeString& text) {
  std::u32string result;
  result.reserve(text.length());
  for (int i = 0; i < text.length();) {
    const UChar32 c = text.char32At(i);
    result.push_back(c);
    i += U16_LENGTH(c);
  }
  return result;
}

using GetNormalizer = const icu::Normalizer2*(UErrorCode&);

std::u32string Normalize(GetNormalizer* get, std::u32string_view text) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* normalizer = get(status);
  if (U_FAILURE(status)) {
    throw std::runtime_error("ICU has no normalization data; reinstall libicu");
  }
  const icu::UnicodeString result = normalizer->normalize(ToUtf16(text), status);
  if (U_FAILURE(status)) throw std::bad_alloc();
  return ToUtf32(result);
}

}  // namespace

std::u32string DecodeUtf8(std::string_view text) {
  std::u32string result;
  result.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    UChar32 c;
    U8_NEXT_OR_FFFD(text.data(), i, text.size(), c);
    result.push_back(c);
  }
  return result;
}

std::string EncodeUtf8(std::u32string_view text) {
  std::string result;
  result.reserve(text.size());
  for (const char32_t c : text) {
    char bytes[U8_MAX_LENGTH];
    int length = 0;
    U8_APPEND_UNSAFE(bytes, length, c);
    result.append(bytes, length);
  }
  return result;
}

std::u32string ToNfc(std::u32string text) {
  // Nothing below U+0300 changes or composes with what is before it.
  if (std::all_of(text.begin(), text.end(), [](char32_t c) { return c < 0x300; })) return text;
  return Normalize(icu::Normalizer2::getNFCInstance, text);
}

std::u32string ToNfkc(std::u32string_view text) {
  return Normalize(icu::Normalizer2::getNFKCInstance, text);
}

std::u32string ToLower(std::u32string text) {
  if (std::all_of(text.begin(), text.end(), [](char32_t c) { return c < 0x80; })) {
    for (char32_t& c : text) c += c >= 'A' && c <= 'Z' ? 'a' - 'A' : 0;
    return text;
  }
  return ToUtf32(ToUtf16(text).toLower(icu::Locale::getRoot()));
}

std::u32string ToUpper(std::u32string_view text) {
  return ToUtf32(ToUtf16(text).toUpper(icu::Locale::getRoot()));
}

}  // namespace fastclip

#include "pipeline/base/python_json.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <utility>

#include "pipeline/base/text_encoding.h"
#include "pipeline/base/utf8.h"

namespace fastclip {
namespace {

using Json = nlohmann::ordered_json;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

/// Characters put together to UTF-8. Halves of a surrogate pair meet here, however each was
/// written.
class TextBuilder {
 public:
  explicit TextBuilder(std::string& text) : text_(text) { text.clear(); }

  void Add(std::string_view plain) {
    EndHalf();
    text_ += plain;
  }
  void Add(char32_t c) {
    if (high_ != 0 && c >= 0xDC00 && c < 0xE000) {
      AppendUtf8(0x10000 + ((high_ - 0xD800) << 10) + (c - 0xDC00), text_);
      high_ = 0;
      return;
    }
    EndHalf();
    if (c >= 0xD800 && c < 0xDC00) {
      high_ = c;
    } else {
      AppendUtf8(IsSurrogate(c) ? kReplacement : c, text_);
    }
  }
  void End() { EndHalf(); }

 private:
  static constexpr char32_t kReplacement = 0xFFFD;
  void EndHalf() {
    if (high_ != 0) AppendUtf8(kReplacement, text_);
    high_ = 0;
  }

  std::string& text_;
  char32_t high_ = 0;  // the first half of a pair that may come
};

/// An object's entries, past the back of ordered_map, which looks for a name among all others.
using Entries = std::vector<Json::object_t::value_type>;

/// The last value of each name, at the place of its first, as in a Python dict.
void KeepLastOfEqualNames(Entries& object) {
  static constexpr std::size_t kFew = 8;
  std::unordered_map<std::string_view, std::size_t> places;
  std::vector<std::size_t> later;  // entries whose name was there before
  for (std::size_t i = 0; i < object.size(); ++i) {
    const std::string& name = object[i].first;
    std::size_t first = i;
    if (object.size() <= kFew) {
      first = static_cast<std::size_t>(
          std::ranges::find_if(object, [&](const auto& entry) { return entry.first == name; }) -
          object.begin());
    } else {
      first = places.emplace(name, i).first->second;
    }
    if (first == i) continue;
    object[first].second = std::move(object[i].second);
    later.push_back(i);
  }
  if (later.empty()) return;
  Entries kept;
  auto next = later.begin();
  for (std::size_t i = 0; i < object.size(); ++i) {
    if (next != later.end() && *next == i) {
      ++next;
    } else {
      kept.push_back(std::move(object[i]));
    }
  }
  object.swap(kept);
}

/// Which of the wanted paths lead through an object, and how far down it lies.
struct Wanted {
  bool all = true;
  std::vector<const JsonPath*> paths{};
  std::size_t depth = 0;

  bool any() const { return all || !paths.empty(); }
  Wanted In(const std::string& name) const {
    if (all) return *this;
    Wanted inner{.all = false, .depth = depth + 1};
    for (const JsonPath* path : paths) {
      if ((*path)[depth] != name) continue;
      if (path->size() == depth + 1) return {};
      inner.paths.push_back(path);
    }
    return inner;
  }
};

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  std::optional<Json> Parse(const Wanted& wanted) {
    Json json;
    SkipBlanks();
    if (!Value(wanted, &json, 0)) return std::nullopt;
    SkipBlanks();
    if (at_ != text_.size()) return std::nullopt;
    return json;
  }

 private:
  /// Each reads what begins at `at_`; false: it is no JSON. `out` is null for what is not kept.
  bool Value(const Wanted& wanted, Json* out, int depth) {
    if (at_ == text_.size() || depth > kMaxJsonDepth) return false;
    if (out != nullptr && ++kept_ > kMaxJsonValues) return false;
    switch (text_[at_]) {
      case '{':
        return Object(wanted, out, depth);
      case '[':
        return Array(wanted.all ? out : nullptr, depth);
      case '"':
        if (!String()) return false;
        if (out != nullptr) *out = string_;
        return true;
      case 'n':
        return Word("null", Json(), out);
      case 't':
        return Word("true", true, out);
      case 'f':
        return Word("false", false, out);
      case 'N':
        return Word("NaN", std::numeric_limits<double>::quiet_NaN(), out);
      case 'I':
        return Word("Infinity", std::numeric_limits<double>::infinity(), out);
      default:
        if (text_.substr(at_).starts_with("-I"))
          return Word("-Infinity", -std::numeric_limits<double>::infinity(), out);
        return Number(out);
    }
  }

  bool Object(const Wanted& wanted, Json* out, int depth) {
    Entries object;
    ++at_;
    SkipBlanks();
    if (!Take('}')) {
      for (;;) {
        if (at_ == text_.size() || text_[at_] != '"' || !String()) return false;
        std::string name = string_;
        SkipBlanks();
        if (!Take(':')) return false;
        SkipBlanks();
        const Wanted inner = out == nullptr ? Wanted{.all = false} : wanted.In(name);
        Json value;
        if (!Value(inner, inner.any() ? &value : nullptr, depth + 1)) return false;
        if (inner.any()) object.emplace_back(std::move(name), std::move(value));
        SkipBlanks();
        if (Take('}')) break;
        if (!Take(',')) return false;
        SkipBlanks();
      }
    }
    if (out == nullptr) return true;
    KeepLastOfEqualNames(object);
    Json::object_t made;
    static_cast<Entries&>(made) = std::move(object);
    *out = std::move(made);
    return true;
  }

  bool Array(Json* out, int depth) {
    Json::array_t array;
    ++at_;
    SkipBlanks();
    if (!Take(']')) {
      const Wanted inner{.all = out != nullptr};
      for (;;) {
        Json value;
        if (!Value(inner, out == nullptr ? nullptr : &value, depth + 1)) return false;
        if (out != nullptr) array.push_back(std::move(value));
        SkipBlanks();
        if (Take(']')) break;
        if (!Take(',')) return false;
        SkipBlanks();
      }
    }
    if (out != nullptr) *out = std::move(array);
    return true;
  }

  /// Into string_.
  bool String() {
    TextBuilder text(string_);
    ++at_;
    for (;;) {
      const std::size_t plain = at_;
      while (at_ < text_.size() && IsPlain(text_[at_])) ++at_;
      if (at_ > plain) text.Add(text_.substr(plain, at_ - plain));
      if (at_ == text_.size()) return false;
      if (Take('"')) {
        text.End();
        return true;
      }
      const std::optional<char32_t> c = text_[at_] == '\\' ? Escape() : Character();
      if (!c) return false;
      text.Add(*c);
    }
  }

  static bool IsPlain(char c) {
    return static_cast<unsigned char>(c) >= 0x20 && static_cast<unsigned char>(c) < 0x80 &&
           c != '"' && c != '\\';
  }

  std::optional<char32_t> Character() {
    const Utf8Character c = Utf8At(text_, at_);
    if (c.bytes == 0 || c.value < 0x20) return std::nullopt;
    at_ += static_cast<std::size_t>(c.bytes);
    return c.value;
  }

  std::optional<char32_t> Escape() {
    static constexpr std::string_view kSigns = "\"\\/bfnrt", kMeant = "\"\\/\b\f\n\r\t";
    if (text_.size() - at_ < 2) return std::nullopt;
    const char sign = text_[at_ + 1];
    at_ += 2;
    if (const std::size_t i = kSigns.find(sign); i != kSigns.npos) return kMeant[i];
    if (sign != 'u' || text_.size() - at_ < 4) return std::nullopt;
    std::uint32_t value = 0;
    const char* const end = text_.data() + at_ + 4;
    const auto [stop, error] = std::from_chars(text_.data() + at_, end, value, 16);
    if (error != std::errc() || stop != end) return std::nullopt;
    at_ += 4;
    return value;
  }

  bool Word(std::string_view word, Json value, Json* out) {
    if (!text_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    if (out != nullptr) *out = std::move(value);
    return true;
  }

  bool Number(Json* out) {
    const std::size_t start = at_;
    Take('-');
    if (!Take('0') && !Digits()) return false;
    bool whole = true;
    if (at_ + 1 < text_.size() && text_[at_] == '.' && IsDigit(text_[at_ + 1])) {
      whole = false;
      ++at_;
      Digits();
    }
    if (at_ < text_.size() && (text_[at_] == 'e' || text_[at_] == 'E')) {
      const std::size_t mark = at_++;
      if (at_ < text_.size() && (text_[at_] == '+' || text_[at_] == '-')) ++at_;
      if (Digits()) {
        whole = false;
      } else {
        at_ = mark;  // what follows is no part of the number, and no JSON either
      }
    }
    if (out != nullptr) *out = NumberOf(text_.substr(start, at_ - start), whole);
    return true;
  }

  static Json NumberOf(std::string_view text, bool whole) {
    const char* const last = text.data() + text.size();
    std::int64_t integer = 0;
    if (whole && std::from_chars(text.data(), last, integer).ec == std::errc()) return integer;
    std::uint64_t natural = 0;
    if (whole && std::from_chars(text.data(), last, natural).ec == std::errc()) return natural;
    double value = 0;
    if (std::from_chars(text.data(), last, value).ec == std::errc()) return value;
    return std::strtod(std::string(text).c_str(), nullptr);  // infinity, or nearly 0
  }

  bool Digits() {
    const std::size_t start = at_;
    while (at_ < text_.size() && IsDigit(text_[at_])) ++at_;
    return at_ > start;
  }

  bool Take(char c) {
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  void SkipBlanks() {
    while (at_ < text_.size() && std::string_view(" \t\n\r").find(text_[at_]) != text_.npos) ++at_;
  }

  const std::string_view text_;
  std::size_t at_ = 0;
  std::size_t kept_ = 0;
  std::string string_;
};

std::optional<Json> Parse(std::string_view text, const Wanted& wanted) {
  const TextEncoding encoding = EncodingOf(text);
  text.remove_prefix(encoding.mark);
  if (encoding.unit == 1) return Parser(text).Parse(wanted);
  const std::optional<std::string> utf8 = ToUtf8(text, encoding);
  return utf8 ? Parser(*utf8).Parse(wanted) : std::nullopt;
}

}  // namespace

std::optional<Json> ParsePythonJson(std::string_view text) { return Parse(text, {}); }

std::optional<Json> ParsePythonJson(std::string_view text, std::span<const JsonPath> paths) {
  Wanted wanted{.all = false};
  for (const JsonPath& path : paths) {
    if (path.empty()) return Parse(text, {});
    wanted.paths.push_back(&path);
  }
  return Parse(text, wanted);
}

}  // namespace fastclip

#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace fastclip {

/// An invalid config: one line with file, line and what to do. Exit code 2.
class ConfigError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The keys of a config file, each bound to a field. Reads them from TOML, applies
/// `section.key=value` overrides and writes the resolved values back.
class ConfigTable {
 public:
  void Text(std::string key, std::string& field);
  /// One of `choices`. A `required` key has no default and must be set.
  void Choice(std::string key, std::string& field, std::vector<std::string> choices,
              bool required = false);
  void Flag(std::string key, bool& field);
  void Integer(std::string key, std::int64_t& field, std::int64_t least, std::int64_t most);
  void Integer(std::string key, int& field, std::int64_t least, std::int64_t most);
  /// An integer into `field` (and clears `list`), or a list of `count` integers into `list`.
  void IntegerOrList(std::string key, std::int64_t& field, std::vector<std::int64_t>& list,
                     std::size_t count, std::int64_t least, std::int64_t most);
  /// A list of any length, also empty.
  void IntegerList(std::string key, std::vector<std::int64_t>& list, std::int64_t least,
                   std::int64_t most);
  /// Lists of any length, also empty: of quoted strings; of finite numbers in [least, most].
  void TextList(std::string key, std::vector<std::string>& list);
  void RealList(std::string key, std::vector<double>& list, double least, double most);
  void Unsigned(std::string key, std::uint64_t& field);
  /// A finite number in [least, most].
  void Real(std::string key, double& field, double least, double most);

  /// Reads a TOML file. Throws ConfigError with file, line and the nearest key for an unknown key
  /// or an invalid value.
  void ReadFile(const std::string& path);
  /// Reads TOML text; errors use `where` as the file name.
  void ReadText(const std::string& toml, const std::string& where);
  /// Reads TOML that another version may have written: skips unknown keys and invalid values.
  /// Throws ConfigError if it is not TOML.
  void ReadKnownKeys(const std::string& toml, const std::string& where);
  /// Applies `section.key=value`. The value is TOML, or a bare string.
  void Override(const std::string& word);
  /// `advice` returns a hint for an unknown key, or "" to suggest the nearest key by spelling.
  void AdviseBy(std::function<std::string(const std::string&)> advice) {
    advice_ = std::move(advice);
  }
  /// Throws if a required key is not set.
  void CheckRequired(const std::string& where) const;

  /// Where the key was set: "FILE:LINE" or "the command line"; "the default" if it was not.
  std::string Origin(const std::string& key) const;
  /// A ConfigError about the value of `key`, with its origin.
  ConfigError Error(const std::string& key, const std::string& what) const;
  std::vector<std::string> keys() const;
  /// The values a key accepts: "an integer from 1 to 8". Throws std::out_of_range for an unknown
  /// key.
  const std::string& KindOf(const std::string& key) const;
  /// The fixed values of a key: its choices, or true and false; empty if there are none. Throws
  /// like KindOf.
  const std::vector<std::string>& ChoicesOf(const std::string& key) const;
  /// All keys with their values as TOML.
  std::vector<std::pair<std::string, std::string>> Values() const;
  /// TOML of all keys with their values; a required key that is not set becomes a comment.
  /// `explain(key)` returns comment lines to put above it.
  std::string Write(const std::function<std::string(const std::string&)>& explain = {}) const;

 private:
  struct Value;  // a parsed TOML value
  struct Entry {
    std::string key;
    std::string kind;                       // "an integer from 1 to 8"
    std::function<bool(const Value&)> set;  // false: the value is not of that kind
    std::function<std::string()> write;     // the value as TOML
    bool required = false;
    std::function<bool()> is_empty{};  // of a required one
    std::vector<std::string> choices{};
  };
  const Entry& EntryOf(const std::string& key) const;
  template <class IntegerType>
  void AddInteger(std::string key, IntegerType& field, std::int64_t least, std::int64_t most);
  /// Calls `set(key, value, where)` for each key.
  template <class SetKey>
  void ReadEach(const std::string& toml, const std::string& where, const SetKey& set);
  void Set(const std::string& key, const Value& value, const std::string& where);
  std::string AdviceOn(const std::string& unknown) const;

  std::vector<Entry> entries_;
  std::map<std::string, std::string> origin_;
  std::function<std::string(const std::string&)> advice_;
};

}  // namespace fastclip

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

/// A config that cannot be used: one line that names file, line and what to do. Exit code 2.
class ConfigError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The keys of a config file, each bound to a field: read from TOML, overridden by
/// `section.key=value` words, written back with what was resolved. One table serves all three.
class ConfigTable {
 public:
  void Text(std::string key, std::string& field);
  /// One of `choices`; `required` has no default and must be given.
  void Choice(std::string key, std::string& field, std::vector<std::string> choices,
              bool required = false);
  void Flag(std::string key, bool& field);
  void Integer(std::string key, std::int64_t& field, std::int64_t least, std::int64_t most);
  void Integer(std::string key, int& field, std::int64_t least, std::int64_t most);
  /// A whole number into `field`, which empties `list`, or a list of `count` of them into `list`.
  void IntegerOrList(std::string key, std::int64_t& field, std::vector<std::int64_t>& list,
                     std::size_t count, std::int64_t least, std::int64_t most);
  /// A list of any length, maybe none.
  void IntegerList(std::string key, std::vector<std::int64_t>& list, std::int64_t least,
                   std::int64_t most);
  /// Lists of any length, maybe none: texts in quotes; finite numbers in [least, most].
  void TextList(std::string key, std::vector<std::string>& list);
  void RealList(std::string key, std::vector<double>& list, double least, double most);
  void Unsigned(std::string key, std::uint64_t& field);
  /// A finite number in [least, most].
  void Real(std::string key, double& field, double least, double most);

  /// Reads a TOML file. An unknown key or an impossible value is a ConfigError that names file,
  /// line and the nearest key.
  void ReadFile(const std::string& path);
  /// Reads TOML text; `where` stands for the file's name in errors.
  void ReadText(const std::string& toml, const std::string& where);
  /// Reads TOML that another version may have written: passes over keys that this table does not
  /// have and values that it does not take. Throws ConfigError for what is no TOML.
  void ReadKnownKeys(const std::string& toml, const std::string& where);
  /// Applies `section.key=value`. The value is TOML, or a bare string.
  void Override(const std::string& word);
  /// Gives what to say of an unknown key, or "": better than naming the nearest by letters.
  void AdviseBy(std::function<std::string(const std::string&)> advice) {
    advice_ = std::move(advice);
  }
  /// Throws for a required key that nobody set.
  void CheckRequired(const std::string& where) const;

  /// "FILE:LINE" or "the command line" where the key was set, else "the default".
  std::string Origin(const std::string& key) const;
  /// A ConfigError about the value of `key`, with its origin.
  ConfigError Error(const std::string& key, const std::string& what) const;
  std::vector<std::string> keys() const;
  /// What a key takes: "a whole number from 1 to 8". Throws std::out_of_range for no key.
  const std::string& KindOf(const std::string& key) const;
  /// All keys with their values as TOML.
  std::vector<std::pair<std::string, std::string>> Values() const;
  /// TOML of all keys with their values; a required key without one is a comment. `explain(key)`:
  /// lines of comment before it.
  std::string Write(const std::function<std::string(const std::string&)>& explain = {}) const;

 private:
  struct Value;  // a parsed TOML value
  struct Entry {
    std::string key;
    std::string kind;                       // "a whole number from 1 to 8"
    std::function<bool(const Value&)> set;  // false: the value is not of that kind
    std::function<std::string()> write;     // the value as TOML
    bool required = false;
    std::function<bool()> is_empty{};  // of a required one
  };
  template <class IntegerType>
  void AddInteger(std::string key, IntegerType& field, std::int64_t least, std::int64_t most);
  /// Calls `set(key, value, where)` for each.
  template <class SetKey>
  void ReadEach(const std::string& toml, const std::string& where, const SetKey& set);
  void Set(const std::string& key, const Value& value, const std::string& where);
  std::string AdviceOn(const std::string& unknown) const;

  std::vector<Entry> entries_;
  std::map<std::string, std::string> origin_;
  std::function<std::string(const std::string&)> advice_;
};

}  // namespace fastclip

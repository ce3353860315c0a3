#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/adapt/recipe.h"

namespace fastclip {

/// The settings of one tuner, read by its kind. Errors are std::invalid_argument and name the
/// tuner.
class TunerSettings {
 public:
  explicit TunerSettings(const TunerSpec& spec) : spec_(spec) {}

  std::int64_t Integer(std::string_view name, std::int64_t fallback, std::int64_t least,
                       std::int64_t most);
  double Real(std::string_view name, double fallback, double least, double most);
  bool Flag(std::string_view name, bool fallback);
  /// One of `choices`; the first is the default.
  std::string Choice(std::string_view name, const std::vector<std::string>& choices);

  /// Whether it is given.
  bool Has(std::string_view name) const;
  /// Integers with commas between them, each at least 0 and named once; none if it is not given.
  std::vector<std::int64_t> Integers(std::string_view name);
  const TunerSpec& spec() const { return spec_; }

  /// Throws if a setting was given that nothing has read, with the nearest that was.
  void RefuseUnread() const;
  [[noreturn]] void Fail(std::string_view reason) const;

 private:
  const std::string* Find(std::string_view name);

  const TunerSpec& spec_;
  std::vector<std::string> read_;
};

}  // namespace fastclip

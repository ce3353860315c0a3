#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "pipeline/base/mutex.h"

namespace fastclip {

/// The names of classes, for labels that are names: a class's label is its place, from 0. Safe from
/// several threads.
class ClassNames {
 public:
  explicit ClassNames(const std::vector<std::string>& names);
  /// Takes any name that Label() is asked for as that of a class: the next one, up to 100,000.
  static std::shared_ptr<const ClassNames> Any();

  std::int64_t size() const { return size_; }
  /// The class of that very name; else the one that differs from it in ASCII capitals and in what
  /// stands between words (blanks, "_", "-") alone. Nothing where there is none, or several.
  std::optional<std::int64_t> Find(std::string_view name) const;
  /// As Find(), for the label of a record: a name that means no class is remembered.
  std::optional<std::int64_t> Label(std::string_view name) const;

  /// Names that Label() was asked for and that mean no class, and how often; the first 1,000.
  std::map<std::string, std::int64_t> unknown() const;
  /// Forgets them: what was looked at before work starts is met again.
  void ForgetUnknown() const;
  /// "'fox', 'zebra' and 3 more are names of no class"; empty where there are none.
  std::string DescribeUnknown() const;

 private:
  static constexpr std::int64_t kSeveral = -1;
  using Places = std::unordered_map<std::string, std::int64_t>;

  std::int64_t size_;
  Places exact_, folded_;
  bool any_ = false;
  mutable Mutex mutex_;
  mutable Places taken_ FASTCLIP_GUARDED_BY(mutex_);  // of any_
  mutable std::map<std::string, std::int64_t> unknown_ FASTCLIP_GUARDED_BY(mutex_);
};

}  // namespace fastclip

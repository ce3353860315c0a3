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

/// Class names, for labels that are names: a class's label is its index in the list. Thread-safe.
class ClassNames {
 public:
  explicit ClassNames(const std::vector<std::string>& names);
  /// Accepts any name: Label() makes each new name the next class, up to 100,000.
  static std::shared_ptr<const ClassNames> Any();

  std::int64_t size() const { return size_; }
  /// The class with exactly that name; else the one that differs only in ASCII case and word
  /// separators (blanks, "_", "-"). Nothing if there is none, or several.
  std::optional<std::int64_t> Find(std::string_view name) const;
  /// Like Find(), for the label of a record: unknown names are recorded.
  std::optional<std::int64_t> Label(std::string_view name) const;

  /// Unknown names passed to Label(), with their counts; the first 1,000.
  std::map<std::string, std::int64_t> unknown() const;
  /// Clears them, since records checked before the work starts are read again.
  void ForgetUnknown() const;
  /// "'fox', 'zebra' and 3 more are not class names"; empty if there are none.
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

#pragma once

#include <span>
#include <string>
#include <string_view>

namespace fastclip {

/// What a changed value of a key does to a resumed run.
enum class KeyChange {
  kNothing,     ///< no result depends on it
  kRounding,    ///< the same results up to rounding
  kEvaluation,  ///< evaluation results, not training
  kNumbers,     ///< training continues with the new value
  kStartOnly,   ///< used only by a new run; ignored on resume
  kSameSample,  ///< refused if a step would get other samples, or the state another meaning. The
                ///< checkpoint's numbers decide, because two values can mean the same
  kSameState,   ///< refused: the saved optimizer state belongs to the old value
};

/// One key of a config. BindConfig has its type, bounds and default.
struct KeyInfo {
  std::string_view name;
  KeyChange change;
  /// Unit and effect, as `fastclip config` prints them. Empty: the previous key's text covers it.
  std::string_view text;
  /// Its names in other programs, OpenCLIP first, separated by spaces.
  std::string_view other_names = "";
  /// Can differ between ranks: it depends on the host, and no result depends on it.
  bool per_host = false;
};

/// All keys that BindConfig binds.
std::span<const KeyInfo> ConfigKeys();
/// Null if `name` is not a key.
const KeyInfo* FindKey(std::string_view name);

/// Its text, or that of the nearest key before it that has one.
std::string_view TextOf(const KeyInfo& key);

/// "changes results", for the line of a changed key.
std::string_view DescribeChange(KeyChange change);

/// The key that `unknown` probably means: by another program's name, or by the same last word in
/// another section ("train.lr" is learning_rate.lr). Empty: not known.
std::string KeyMeantBy(std::string_view unknown);

/// Advice for an error about `unknown`: that key, or why an OpenCLIP option has no key. Empty:
/// none.
std::string AdviceOn(std::string_view unknown);

}  // namespace fastclip

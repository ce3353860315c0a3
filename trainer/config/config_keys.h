#pragma once

#include <span>
#include <string>
#include <string_view>

namespace fastclip {

/// What another value of a key means to a run that is resumed.
enum class KeyChange {
  kNothing,     ///< no result depends on it
  kRounding,    ///< the same results up to rounding
  kEvaluation,  ///< figures of evaluation, not the training
  kNumbers,     ///< training goes on with the new value
  kStartOnly,   ///< read when a run starts anew; a resume does not look at it
  kSameSample,  ///< refused where it gives a step other samples, or the state another meaning: the
                ///< checkpoint's own numbers decide, as two values may come to the same
  kSameState,   ///< refused: the saved optimizer state is of the old value
};

/// One key of a config. Its type, bounds and default are its row's in BindConfig.
struct KeyInfo {
  std::string_view name;
  KeyChange change;
  /// Unit and effect, as `fastclip config` prints them. Empty: the key before explains it, too.
  std::string_view text;
  /// Names that other programs, OpenCLIP first, give to it; spaces between them.
  std::string_view other_names = "";
  /// Ranks may have values of their own: it fits the host and no result depends on it.
  bool per_host = false;
};

/// All keys that BindConfig binds.
std::span<const KeyInfo> ConfigKeys();
/// Null for a name that is no key.
const KeyInfo* FindKey(std::string_view name);

/// Its text, or where it has none that of the key before it.
std::string_view TextOf(const KeyInfo& key);

/// "changes numbers", for the line of a changed key.
std::string_view DescribeChange(KeyChange change);

/// The key that `unknown` stands for, by the names that other programs use or by its own last word
/// under another section: "train.lr" is learning_rate.lr. Empty: none is known.
std::string KeyMeantBy(std::string_view unknown);

/// What to say to one who gave `unknown`: that key, or why an option of OpenCLIP has none. Empty:
/// nothing is known.
std::string AdviceOn(std::string_view unknown);

}  // namespace fastclip

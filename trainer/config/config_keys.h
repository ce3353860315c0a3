#pragma once

#include <span>
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

class BoundKey;

/// One key of a config.
struct KeyInfo {
  std::string_view name;
  /// Binds it to its field, with type and bounds; the field has the default.
  void (*bind)(const BoundKey& key);
  KeyChange change;
  /// Unit and effect, as `fastclip config` prints them. Empty: the previous key's text covers it.
  std::string_view text;
  /// Its names in other programs, OpenCLIP first, separated by spaces.
  std::string_view other_names = "";
  /// Can differ between ranks: it depends on the host, and no result depends on it. The data at a
  /// path is compared by its hash.
  bool per_host = false;
};

/// All keys, in the order in which a config is printed.
std::span<const KeyInfo> ConfigKeys();
/// Null if `name` is not a key.
const KeyInfo* FindKey(std::string_view name);

/// Its text, or that of the nearest key before it that has one.
std::string_view TextOf(const KeyInfo& key);

/// "changes results", for the line of a changed key.
std::string_view DescribeChange(KeyChange change);

}  // namespace fastclip

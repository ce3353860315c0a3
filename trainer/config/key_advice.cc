#include "trainer/config/key_advice.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <ranges>
#include <vector>

#include "pipeline/base/nearest.h"
#include "pipeline/base/suggested_command.h"
#include "trainer/config/config_keys.h"
#include "trainer/config/openclip_flags.h"

namespace fastclip {
namespace {

constexpr std::size_t kSlip = 2;

std::string_view LastWord(std::string_view key) { return key.substr(key.rfind('.') + 1); }

/// Normalizes an option name like OpenCLIP: "--Batch-Size" becomes batch_size.
std::string Plain(std::string_view key) {
  key.remove_prefix(std::min(key.find_first_not_of('-'), key.size()));
  std::string word(LastWord(key));
  for (char& c : word) {
    c = c == '-' ? '_' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return word;
}

bool HasOtherName(const KeyInfo& key, std::string_view word) {
  return std::ranges::any_of(std::views::split(key.other_names, ' '), [&](auto name) {
    return std::string_view(name.begin(), name.end()) == word;
  });
}

}  // namespace

std::string KeyMeantBy(std::string_view unknown) {
  const std::string word = Plain(unknown);
  if (word.empty()) return "";
  for (const KeyInfo& key : ConfigKeys()) {
    if (HasOtherName(key, word)) return std::string(key.name);
  }
  const KeyInfo* meant = nullptr;
  for (const KeyInfo& key : ConfigKeys()) {
    if (LastWord(key.name) != word) continue;
    if (meant != nullptr) return "";  // two candidates: neither is a better guess
    meant = &key;
  }
  return meant == nullptr ? "" : std::string(meant->name);
}

std::string KeyNearTo(std::string_view unknown) {
  const std::string word = Plain(unknown);
  std::vector<std::string> names, keys;
  for (const KeyInfo& key : ConfigKeys()) {
    keys.emplace_back(key.name);
    names.emplace_back(LastWord(key.name));
    for (const auto name : std::views::split(key.other_names, ' ')) {
      if (!name.empty()) names.emplace_back(name.begin(), name.end());
    }
  }
  if (const std::string key = Nearest(std::string(unknown), keys, kSlip); !key.empty()) return key;
  if (word.size() < 4) return "";
  return KeyMeantBy(Nearest(word, names, word.size() < 6 ? 1 : kSlip));
}

std::string AdviceOn(std::string_view unknown) {
  const std::string key = KeyMeantBy(unknown);
  if (key == "resume" && unknown.starts_with('-')) {
    return "to resume a run: " + SuggestedCommand("train RUN resume=true");
  }
  if (Plain(unknown) == "siglip") return DidYouMean("objective.name=siglip");
  if (!key.empty()) return DidYouMean(key);
  std::string flag = Plain(unknown);
  const std::string_view why = WithoutCounterpart(flag);
  std::ranges::replace(flag, '_', '-');
  return why.empty() ? "" : fmt::format("OpenCLIP's --{} has no counterpart: {}", flag, why);
}

}  // namespace fastclip

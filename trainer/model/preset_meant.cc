#include "trainer/model/preset_meant.h"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <iterator>
#include <string_view>

#include "pipeline/base/nearest.h"

namespace fastclip {
namespace {

/// Letters and digits, small: "ViT-B/32" is vitb32.
std::string Plain(std::string_view name) {
  std::string plain;
  for (const char c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)))
      plain += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return plain;
}

/// What tells models apart: the letter before the numbers, and the numbers. "ViT-L-14" is l14.
std::string SizeOf(const std::string& plain) {
  const std::size_t first = plain.find_first_of("0123456789");
  if (first == plain.npos) return "";
  std::string size = plain.substr(first > 0 ? first - 1 : 0, 1);
  for (const char c : plain) {
    if (std::isdigit(static_cast<unsigned char>(c))) size += c;
  }
  return size;
}

/// The preset of that size that `name` may be a slip for; "": none.
std::string SlipFor(const std::string& name, const std::vector<std::string>& presets) {
  constexpr std::size_t kSlip = 3;
  const std::size_t slash = name.rfind('/');
  const bool in_folder = slash != name.npos && slash + 1 < name.size() &&
                         std::isalpha(static_cast<unsigned char>(name[slash + 1]));
  const std::string plain = Plain(in_folder ? name.substr(slash + 1) : name);
  std::vector<std::string> alike;
  for (const std::string& preset : presets) {
    if (SizeOf(Plain(preset)) == SizeOf(plain)) alike.push_back(Plain(preset));
  }
  const std::string near = Nearest(plain, alike, kSlip);
  if (near.empty()) return "";
  return *std::ranges::find(presets, near, Plain);
}

/// Those of `names` with the activation that `name` asks for; all if there are none.
std::vector<std::string> SameActivation(const std::string& name,
                                        const std::vector<std::string>& names) {
  const auto is_quick = [](std::string_view name) {
    return std::ranges::search(name, std::string_view("quick"), {}, [](unsigned char c) {
             return std::tolower(c);
           }).size() > 0;
  };
  std::vector<std::string> alike;
  std::ranges::copy_if(names, std::back_inserter(alike),
                       [&](const std::string& other) { return is_quick(other) == is_quick(name); });
  return alike.empty() ? names : alike;
}

}  // namespace

std::string PresetMeant(const std::string& name, const std::vector<std::string>& presets) {
  return SlipFor(name, SameActivation(name, presets));
}

}  // namespace fastclip

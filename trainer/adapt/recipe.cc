#include "trainer/adapt/recipe.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <span>
#include <stdexcept>

#include "pipeline/base/nearest.h"
#include "pipeline/base/printable.h"

namespace fastclip {
namespace {

constexpr std::size_t kMostBytes = 4096;  // of one tuner's text
const std::vector<std::string> kTowers = {"image", "text"};
const std::vector<std::string> kPlaces = {"q", "k", "v", "o", "fc1", "fc2", "mha", "ffn", "block"};

[[noreturn]] void Fail(std::string_view text, const std::string& reason) {
  throw std::invalid_argument(fmt::format("tuner \"{}\": {}", Printable(text), reason));
}

/// Parts between separators that are not inside braces.
std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  int depth = 0;
  std::size_t first = 0;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    if (i == text.size() || (text[i] == separator && depth == 0)) {
      parts.push_back(text.substr(first, i - first));
      first = i + 1;
    } else if (text[i] == '{') {
      ++depth;
    } else if (text[i] == '}') {
      --depth;
    }
  }
  return parts;
}

/// The names of one part: "*", "a" or "{a,b}", each one of `known`.
std::vector<std::string> NamesOf(std::string_view text, std::string_view part,
                                 const std::vector<std::string>& known, std::string_view what) {
  if (part == "*") return known;
  std::vector<std::string> names;
  if (part.starts_with('{') && part.ends_with('}')) {
    for (const std::string_view name : Split(part.substr(1, part.size() - 2), ',')) {
      names.emplace_back(name);
    }
  } else {
    names.emplace_back(part);
  }
  for (const std::string& name : names) {
    if (std::ranges::find(known, name) != known.end()) continue;
    const std::string near = Nearest(name, known, 2);
    Fail(text, fmt::format("unknown {} '{}'; {}", what, Printable(name),
                           near.empty() ? fmt::format("use {}", fmt::join(known, ", "))
                                        : DidYouMean(near)));
  }
  return names;
}

std::optional<std::int64_t> NumberOf(std::string_view text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

/// The blocks of one part: "*", "3", "0-5,11" or the same in braces.
std::vector<std::int64_t> BlocksOf(std::string_view text, std::string_view part, std::int64_t count,
                                   const std::string& tower) {
  if (part.starts_with('{') && part.ends_with('}')) part = part.substr(1, part.size() - 2);
  std::vector<std::int64_t> blocks;
  for (const std::string_view range : Split(part, ',')) {
    std::int64_t first = 0, last = count - 1;
    if (range != "*") {
      const std::vector<std::string_view> ends = Split(range, '-');
      const std::optional<std::int64_t> from = NumberOf(ends.front()), to = NumberOf(ends.back());
      if (!from || !to || ends.size() > 2 || *from > *to || *from < 0) {
        Fail(text, fmt::format("'{}' is not a block or a range of blocks; write *, 3 or 0-5,11",
                               Printable(range)));
      }
      first = *from, last = *to;
    }
    if (last >= count) {
      Fail(text, count == 0 ? fmt::format("the {} tower has no transformer blocks", tower)
                            : fmt::format("the {} tower has blocks 0 to {}, no block {}", tower,
                                          count - 1, last));
    }
    for (std::int64_t block = first; block <= last; ++block) blocks.push_back(block);
  }
  return blocks;
}

std::vector<Site> SitesOf(std::string_view text, std::string_view pattern,
                          const SiteCounts& counts) {
  const std::vector<std::string_view> parts = Split(pattern, '.');
  const bool whole = parts.size() == 1;
  if (!whole && (parts.size() != 4 || parts[1] != "block")) {
    Fail(text, fmt::format("'{}' is not a site; write TOWER.block.BLOCKS.PLACE, as in "
                           "image.block.*.ffn or text.block.0-5.{{q,v}}, or only TOWER",
                           Printable(pattern)));
  }
  std::vector<Site> sites;
  for (const std::string& name : NamesOf(text, parts[0], kTowers, "tower")) {
    const Tower tower = name == "image" ? Tower::kImage : Tower::kText;
    const std::int64_t count = name == "image" ? counts.image_blocks : counts.text_blocks;
    if (whole) {
      sites.push_back({tower, -1, ""});
      continue;
    }
    if (count == 0 && parts[0] == "*") continue;
    for (const std::int64_t block : BlocksOf(text, parts[2], count, name)) {
      for (const std::string& place : NamesOf(text, parts[3], kPlaces, "place")) {
        sites.push_back({tower, block, place});
      }
    }
  }
  for (std::size_t i = 0; i < sites.size(); ++i) {
    if (std::ranges::find(std::span(sites).first(i), sites[i]) != std::span(sites).first(i).end()) {
      Fail(text, fmt::format("{} is named twice", sites[i].id()));
    }
  }
  return sites;
}

}  // namespace

std::string Site::id() const {
  const char* name = tower == Tower::kImage ? "image" : "text";
  return block < 0 ? name : fmt::format("{}.block.{}.{}", name, block, place);
}

TunerSpec ReadTuner(std::string_view text, const SiteCounts& counts) {
  if (text.size() > kMostBytes) Fail(text, fmt::format("longer than {} bytes", kMostBytes));
  TunerSpec spec;
  spec.text = text;
  std::vector<std::string_view> words;
  for (const std::string_view word : Split(text, ' ')) {
    if (!word.empty()) words.push_back(word);
  }
  if (words.size() < 2) {
    Fail(text, "write KIND SITES [NAME=VALUE …], as in \"lora image.block.*.{q,v} r=8\"");
  }
  spec.kind = words[0];
  spec.sites = SitesOf(text, words[1], counts);
  for (std::size_t i = 2; i < words.size(); ++i) {
    const std::size_t sign = words[i].find('=');
    if (sign == std::string_view::npos || sign == 0) {
      Fail(text, fmt::format("'{}' is not a setting; write NAME=VALUE", Printable(words[i])));
    }
    TunerSetting setting{std::string(words[i].substr(0, sign)),
                         std::string(words[i].substr(sign + 1))};
    if (std::ranges::find(spec.settings, setting.name, &TunerSetting::name) !=
        spec.settings.end()) {
      Fail(text, fmt::format("{} is set twice", Printable(setting.name)));
    }
    spec.settings.push_back(std::move(setting));
  }
  return spec;
}

bool HasDropout(const TunerSpec& tuner) {
  return std::ranges::any_of(tuner.settings, [](const TunerSetting& setting) {
    return setting.name == "dropout" && std::strtod(setting.value.c_str(), nullptr) > 0;
  });
}

}  // namespace fastclip

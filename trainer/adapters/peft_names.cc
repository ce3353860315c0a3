#include "trainer/adapters/peft_names.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <utility>

namespace fastclip {
namespace {

struct Place {
  std::string_view ours, hf, open_clip;
};
constexpr std::array kPlaces = {
    Place{"q", "self_attn.q_proj", "attn"},
    Place{"k", "self_attn.k_proj", "attn"},
    Place{"v", "self_attn.v_proj", "attn"},
    Place{"o", "self_attn.out_proj", "attn.base_layer.out_proj"},
    Place{"fc1", "mlp.fc1", "mlp.c_fc"},
    Place{"fc2", "mlp.fc2", "mlp.c_proj"},
};

struct Blocks {
  Dialect dialect;
  Tower tower;
  std::string_view prefix;
};
constexpr std::array kBlocks = {
    Blocks{Dialect::kHfClip, Tower::kImage, "vision_model.encoder.layers."},
    Blocks{Dialect::kHfClip, Tower::kText, "text_model.encoder.layers."},
    Blocks{Dialect::kOpenClip, Tower::kImage, "visual.transformer.resblocks."},
    Blocks{Dialect::kOpenClip, Tower::kText, "transformer.resblocks."},
};

std::string_view BlocksOf(Tower tower, Dialect dialect) {
  for (const Blocks& blocks : kBlocks) {
    if (blocks.dialect == dialect && blocks.tower == tower) return blocks.prefix;
  }
  return "";
}

/// Takes "12." off the front of `text`.
std::optional<std::int64_t> TakeNumber(std::string_view& text) {
  std::int64_t number = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const auto used = static_cast<std::size_t>(end - text.data());
  if (error != std::errc{} || number < 0 || used >= text.size() || text[used] != '.' ||
      (used > 1 && text[0] == '0')) {
    return std::nullopt;
  }
  text.remove_prefix(used + 1);
  return number;
}

constexpr std::string_view kUt = "ut.";

struct OwnPrefix {
  std::string_view ours, blocks, tower;
};
constexpr std::array kOwn = {
    OwnPrefix{"image.", "visual.transformer.resblocks.", "visual.transformer."},
    OwnPrefix{"text.", "transformer.resblocks.", "transformer."},
};

/// Of S²FT: the columns of a weight that train, and their numbers.
constexpr std::array kSlices = {
    std::pair{std::string_view("P"), std::string_view(".s2ft_values")},
    std::pair{std::string_view("index"), std::string_view(".s2ft_index")},
};

/// WeightName() without ".weight".
std::string MapName(const Site& site) {
  const std::string weight = WeightName(site);
  return weight.substr(0, weight.rfind('.'));
}

}  // namespace

std::string ModulePath(const Site& site, Dialect dialect) {
  for (const Place& place : kPlaces) {
    if (place.ours != site.place) continue;
    return fmt::format("{}{}.{}", BlocksOf(site.tower, dialect), site.block,
                       dialect == Dialect::kHfClip ? place.hf : place.open_clip);
  }
  return "";
}

std::string TargetPath(const Site& site, Dialect dialect) {
  if (dialect == Dialect::kOpenClip && (site.place == "o" || site.place == "in_proj")) {
    return ModulePath({site.tower, site.block, "q"}, dialect);
  }
  return ModulePath(site, dialect);
}

std::optional<PeftModule> ModuleOf(std::string_view path) {
  for (const Blocks& blocks : kBlocks) {
    if (!path.starts_with(blocks.prefix)) continue;
    std::string_view rest = path.substr(blocks.prefix.size());
    const std::optional<std::int64_t> block = TakeNumber(rest);
    if (!block) return std::nullopt;
    if (blocks.dialect == Dialect::kOpenClip && rest == "attn") {
      return PeftModule{{blocks.tower, *block, "in_proj"}, blocks.dialect};
    }
    for (const Place& place : kPlaces) {
      const bool hf = blocks.dialect == Dialect::kHfClip;
      if (rest == (hf ? place.hf : place.open_clip)) {
        return PeftModule{{blocks.tower, *block, std::string(place.ours)}, blocks.dialect};
      }
    }
    return std::nullopt;
  }
  return std::nullopt;
}

std::optional<SiteParameter> SiteOfParameter(std::string_view name) {
  for (const auto& [prefix, tower] : {std::pair{std::string_view("image.block."), Tower::kImage},
                                      {std::string_view("text.block."), Tower::kText}}) {
    if (!name.starts_with(prefix)) continue;
    std::string_view rest = name.substr(prefix.size());
    const std::optional<std::int64_t> block = TakeNumber(rest);
    const std::size_t dot = rest.find('.');
    if (!block || dot == std::string_view::npos) return std::nullopt;
    return SiteParameter{{tower, *block, std::string(rest.substr(0, dot))},
                         std::string(rest.substr(dot + 1))};
  }
  return std::nullopt;
}

std::string WeightName(const Site& site) {
  const std::string block =
      fmt::format("{}{}.", BlocksOf(site.tower, Dialect::kOpenClip), site.block);
  if (site.place == "o") return block + "attn.out_proj.weight";
  if (site.place == "fc1") return block + "mlp.c_fc.weight";
  if (site.place == "fc2") return block + "mlp.c_proj.weight";
  return block + "attn.in_proj_weight";
}

std::string OwnLayoutName(const std::string& parameter) {
  if (const auto at = SiteOfParameter(parameter)) {
    for (const auto& [ours, suffix] : kSlices) {
      if (at->name == ours) return MapName(at->site) + std::string(suffix);
    }
  }
  for (const OwnPrefix& own : kOwn) {
    if (!parameter.starts_with(own.ours)) continue;
    std::string_view rest = std::string_view(parameter).substr(own.ours.size());
    if (rest.starts_with("block.")) {
      rest.remove_prefix(std::string_view("block.").size());
      if (const auto block = TakeNumber(rest)) {
        return fmt::format("{}{}.{}{}", own.blocks, *block, kUt, rest);
      }
    } else {
      return fmt::format("{}{}{}", own.tower, kUt, rest);
    }
  }
  return parameter;
}

std::string FromOwnLayoutName(const std::string& name) {
  for (const auto& [ours, suffix] : kSlices) {
    if (!name.ends_with(suffix)) continue;
    const std::string_view map = std::string_view(name).substr(0, name.size() - suffix.size());
    for (const OwnPrefix& own : kOwn) {
      if (!map.starts_with(own.blocks)) continue;
      std::string_view rest = map.substr(own.blocks.size());
      const auto block = TakeNumber(rest);
      if (block && rest == "attn.out_proj")
        return fmt::format("{}block.{}.o.{}", own.ours, *block, ours);
      if (block && rest == "mlp.c_proj")
        return fmt::format("{}block.{}.fc2.{}", own.ours, *block, ours);
    }
  }
  for (const OwnPrefix& own : kOwn) {
    const std::string_view text = name;
    if (text.starts_with(own.blocks)) {
      std::string_view rest = text.substr(own.blocks.size());
      const auto block = TakeNumber(rest);
      if (block && rest.starts_with(kUt)) {
        return fmt::format("{}block.{}.{}", own.ours, *block, rest.substr(kUt.size()));
      }
    } else if (text.starts_with(own.tower) && text.substr(own.tower.size()).starts_with(kUt)) {
      return fmt::format("{}{}", own.ours, text.substr(own.tower.size() + kUt.size()));
    }
  }
  return name;
}

}  // namespace fastclip

#include "trainer/adapters/peft_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <regex>
#include <stdexcept>
#include <string_view>

#include "pipeline/base/json_depth.h"
#include "pipeline/base/printable.h"

namespace fastclip {
namespace {

using Json = nlohmann::ordered_json;  // the first pattern that matches counts

// Of patterns that are regular expressions and not plain paths.
constexpr std::size_t kMostExpressions = 64, kMostExpressionBytes = 200;

/// Options that change nothing for a trained adapter, or that are read.
constexpr std::array<std::string_view, 27> kHarmless = {"alpha_pattern",
                                                        "auto_mapping",
                                                        "base_model_name_or_path",
                                                        "bias",
                                                        "corda_config",
                                                        "ensure_weight_tying",
                                                        "eva_config",
                                                        "exclude_modules",
                                                        "fan_in_fan_out",
                                                        "inference_mode",
                                                        "init_lora_weights",
                                                        "layers_pattern",
                                                        "layers_to_transform",
                                                        "loftq_config",
                                                        "lora_alpha",
                                                        "lora_dropout",
                                                        "lora_ga_config",
                                                        "megatron_config",
                                                        "megatron_core",
                                                        "modules_to_save",
                                                        "peft_type",
                                                        "peft_version",
                                                        "qalora_group_size",
                                                        "r",
                                                        "rank_pattern",
                                                        "revision",
                                                        "runtime_config"};
constexpr std::array<std::string_view, 3> kHarmlessToo = {"target_modules", "task_type",
                                                          "use_rslora"};

bool IsOff(const Json& value) {
  return value.is_null() || value == false || value == "none" ||
         ((value.is_array() || value.is_object()) && value.empty());
}

std::string Short(const Json& value) {
  const std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  return Printable(text.size() > 60 ? text.substr(0, 60) + "…" : text);
}

/// Starts that change the base's weights: the adapter then belongs to other ones.
bool ChangesTheBase(const Json& start) {
  if (!start.is_string()) return false;
  const std::string name = start.get<std::string>();
  return name != "gaussian" && name != "eva" && name != "orthogonal";
}

std::optional<double> AlphaIn(const Json& value) {
  if (!value.is_number()) return std::nullopt;
  const double alpha = value.get<double>();
  if (!(alpha >= 0 && alpha <= 1e6)) return std::nullopt;
  return alpha;
}

/// Whether it is a path, in which a dot as an expression means much the same.
bool IsPlain(std::string_view pattern) {
  return std::ranges::all_of(pattern, [](char c) {
    return c == '.' || c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z');
  });
}

bool EndsWithPath(std::string_view module, std::string_view path) {
  if (!module.ends_with(path)) return false;
  return module.size() == path.size() || module[module.size() - path.size() - 1] == '.';
}

}  // namespace

PeftConfig::PeftConfig(const std::string& text, const std::string& where) : where_(where) {
  const auto fail = [&](const std::string& reason) {
    throw std::runtime_error(fmt::format("{}: {}", where, reason));
  };
  const Json config = IsTooDeepJson(text) ? Json() : Json::parse(text, nullptr, false);
  if (!config.is_object()) fail("is damaged or not a JSON object");
  const Json type = config.value("peft_type", Json());
  if (type != "LORA") {
    fail(fmt::format("peft_type {} cannot be imported; only LORA can", Short(type)));
  }
  for (const auto& [name, value] : config.items()) {
    const bool known = std::ranges::find(kHarmless, name) != kHarmless.end() ||
                       std::ranges::find(kHarmlessToo, name) != kHarmlessToo.end();
    if ((name == "bias" || !known) && !IsOff(value)) {
      fail(fmt::format("{} = {} is not supported", Printable(name), Short(value)));
    }
  }
  if (const Json start = config.value("init_lora_weights", Json()); ChangesTheBase(start)) {
    fail(
        fmt::format("init_lora_weights = {} changes the base's weights; convert it to plain LoRA "
                    "with PEFT: save_pretrained(…, path_initial_model_for_weight_conversion=…)",
                    Short(start)));
  }
  const Json rslora = config.value("use_rslora", Json(false));
  if (!rslora.is_boolean()) fail("use_rslora is not true or false");
  rslora_ = rslora.get<bool>();
  const std::optional<double> alpha = AlphaIn(config.value("lora_alpha", Json(8)));
  if (!alpha) fail("lora_alpha is not a number from 0 to 1e6");
  alpha_ = *alpha;
  const Json dropout = config.value("lora_dropout", Json(0.0));
  if (!dropout.is_number() || !(dropout.get<double>() >= 0 && dropout.get<double>() <= 0.99)) {
    fail("lora_dropout is not a number from 0 to 0.99");
  }
  dropout_ = dropout.get<double>();
  const Json patterns = config.value("alpha_pattern", Json::object());
  if (!patterns.is_object() && !patterns.is_null()) fail("alpha_pattern is not an object");
  std::size_t expressions = 0;
  for (const auto& [pattern, value] : patterns.items()) {
    const std::optional<double> own = AlphaIn(value);
    if (!own)
      fail(fmt::format("alpha_pattern of {} is not a number from 0 to 1e6", Printable(pattern)));
    if (!IsPlain(pattern) &&
        (++expressions > kMostExpressions || pattern.size() > kMostExpressionBytes ||
         pattern.find('{') != pattern.npos)) {
      fail(
          fmt::format("alpha_pattern {} is too long or one of too many expressions; write paths "
                      "of modules",
                      Printable(pattern.substr(0, 80))));
    }
    patterns_.emplace_back(pattern, *own);
  }
}

double PeftConfig::AlphaOf(const std::string& module) const {
  for (const auto& [pattern, alpha] : patterns_) {
    if (IsPlain(pattern)) {
      if (EndsWithPath(module, pattern)) return alpha;
      continue;
    }
    try {
      // Time that grows with the product of the lengths, whatever the expression.
      const auto how = std::regex_constants::ECMAScript | std::regex_constants::__polynomial;
      if (std::regex_match(module, std::regex("(.*\\.)?(" + pattern + ")", how))) return alpha;
    } catch (const std::regex_error&) {
      throw std::runtime_error(
          fmt::format("{}: alpha_pattern '{}' cannot be read as a regular expression", where_,
                      Printable(pattern)));
    }
  }
  return alpha_;
}

}  // namespace fastclip

#include "trainer/adapters/adapter_meta.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <stdexcept>
#include <vector>

#include "pipeline/base/json_depth.h"
#include "pipeline/base/printable.h"

namespace fastclip {
namespace {

using nlohmann::json;

constexpr std::size_t kMostMetaBytes = 1 << 20;

}  // namespace

std::string FormatAdapterMeta(const Adapter& adapter, bool with_recipe) {
  json meta = {{"model", adapter.model},
               {"model_config", json::parse(adapter.model_config)},
               {"base_sha256", adapter.base}};
  if (with_recipe) meta["tuners"] = adapter.tuners;
  if (!adapter.head.empty()) {
    meta["head"] = adapter.head;
    meta["classes"] = adapter.classes;
  }
  return meta.dump(-1, ' ', false, json::error_handler_t::replace);
}

Adapter ParseAdapterMeta(const std::string& text, const std::string& file) {
  const json meta = text.size() > kMostMetaBytes || IsTooDeepJson(text)
                        ? json()
                        : json::parse(text, nullptr, /*allow_exceptions=*/false);
  try {
    return {.model = meta.at("model").get<std::string>(),
            .model_config = meta.at("model_config").dump(),
            .base = meta.at("base_sha256").get<std::string>(),
            .tuners = meta.value("tuners", std::vector<std::string>()),
            .tensors = {},
            .head = meta.value("head", std::string()),
            .classes = meta.value("classes", std::vector<std::string>())};
  } catch (const json::exception& error) {
    throw std::runtime_error(fmt::format("{}: its metadata '{}' is damaged: {}", file, kAdapterMeta,
                                         Printable(error.what())));
  }
}

}  // namespace fastclip

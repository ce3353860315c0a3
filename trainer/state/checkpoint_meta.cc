#include "trainer/state/checkpoint_meta.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "pipeline/base/json_depth.h"

namespace fastclip {
namespace {

using nlohmann::json;

/// 2 if the order has a tail or a mix, 3 if it is resampled: older versions would ignore these.
constexpr int kPlainFormat = 1, kMixFormat = 2, kFormat = 3;
constexpr const char* kOwnHash = "xxh3_of_the_rest";

// As text, because many JSON readers keep only 53 bits of a number.
std::string Hex(std::uint64_t value) { return fmt::format("{:016x}", value); }

std::uint64_t FromHex(const std::string& text) {
  std::size_t used = 0;
  const std::uint64_t value = std::stoull(text, &used, 16);
  if (used != text.size()) throw std::invalid_argument("hash");
  return value;
}

/// Omits options at their default, so that most checkpoints keep the older format.
json OrderToJson(const OrderOptions& order) {
  json j = {{"size", order.size},   {"batch_size", order.batch_size}, {"lanes", order.lanes},
            {"chunk", order.chunk}, {"window", order.window},         {"seed", order.seed}};
  if (order.tail != Tail::kDrop) j["tail"] = TailName(order.tail);
  if (order.resampled) j["resampled"] = true;
  for (const MixPart& part : order.parts) {
    j["parts"].push_back({{"size", part.size}, {"rows", part.rows}});
  }
  return j;
}

OrderOptions OrderFromJson(const json& j) {
  OrderOptions order;
  j.at("size").get_to(order.size);
  j.at("batch_size").get_to(order.batch_size);
  j.at("lanes").get_to(order.lanes);
  j.at("chunk").get_to(order.chunk);
  j.at("window").get_to(order.window);
  j.at("seed").get_to(order.seed);
  try {
    order.tail = TailOfName(j.value("tail", TailName(Tail::kDrop)));
  } catch (const std::invalid_argument& unknown) {
    throw std::runtime_error(fmt::format("checkpoint.json: {}", unknown.what()));
  }
  order.resampled = j.value("resampled", false);
  for (const json& part : j.value("parts", json::array())) {
    order.parts.push_back(
        {part.at("size").get<std::int64_t>(), part.at("rows").get<std::int64_t>()});
  }
  return order;
}

json ScalerToJson(const std::optional<GradScaler::State>& scaler) {
  if (!scaler) return nullptr;
  return {{"scale", scaler->scale}, {"good_steps", scaler->good_steps}};
}

json ToJson(const CheckpointDocument& document) {
  const CheckpointMeta& meta = document.meta;
  json skips = json::object();
  for (const Skip cause : kAllSkips) skips[SkipName(cause)] = meta.skips[cause];
  json files = json::object();
  for (const auto& [name, digest] : document.files) {
    files[name] = {{"bytes", digest.size}, {"xxh3", Hex(digest.xxh3)}};
  }
  const bool plain = meta.order.tail == Tail::kDrop && meta.order.parts.empty();
  json j = {{"format", meta.order.resampled ? kFormat
                       : plain              ? kPlainFormat
                                            : kMixFormat},
            {"step", meta.step},
            {"epoch", meta.epoch},
            {"order", OrderToJson(meta.order)},
            {"data_hash", Hex(meta.data_hash)},
            {"objective", meta.objective},
            {"mode", meta.mode},
            {"model", meta.model},
            {"scaler", ScalerToJson(meta.scaler)},
            {"skips", skips},
            {"refused_steps", meta.refused_steps},
            {"refused_in_a_row", meta.refused_in_a_row},
            {"overflowed_steps", meta.overflowed_steps},
            {"metrics_bytes", meta.metrics_bytes},
            {"threads", meta.threads},
            {"world_size", meta.world_size},
            {"versions", meta.versions},
            {"files", files}};
  if (!meta.config.empty()) j["config"] = meta.config;
  if (!meta.metrics_owed.empty()) j["metrics_owed"] = meta.metrics_owed;
  if (!meta.model_config.empty()) j["model_config"] = json::parse(meta.model_config);
  if (!meta.tokenizer.empty()) {
    j["tokenizer"] = {{"spec", meta.tokenizer}, {"xxh3", Hex(meta.vocabulary_hash)}};
  }
  return j;
}

CheckpointDocument FromJson(const json& j) {
  CheckpointDocument document;
  CheckpointMeta& meta = document.meta;
  j.at("step").get_to(meta.step);
  j.at("epoch").get_to(meta.epoch);
  meta.order = OrderFromJson(j.at("order"));
  meta.data_hash = FromHex(j.at("data_hash").get<std::string>());
  j.at("objective").get_to(meta.objective);
  j.at("mode").get_to(meta.mode);
  j.at("model").get_to(meta.model);
  if (const json& scaler = j.at("scaler"); !scaler.is_null()) {
    meta.scaler = GradScaler::State{scaler.at("scale").get<double>(),
                                    scaler.at("good_steps").get<std::int64_t>()};
    meta.overflowed_steps = j.at("overflowed_steps").get<std::int64_t>();
  }
  if (j.contains("model_config")) meta.model_config = j.at("model_config").dump();
  if (j.contains("tokenizer")) {
    j.at("tokenizer").at("spec").get_to(meta.tokenizer);
    meta.vocabulary_hash = FromHex(j.at("tokenizer").at("xxh3").get<std::string>());
  }
  for (const Skip cause : kAllSkips) {  // an old checkpoint does not have newer causes
    meta.skips[cause] = j.at("skips").value(SkipName(cause), std::int64_t{0});
  }
  j.at("refused_steps").get_to(meta.refused_steps);
  j.at("refused_in_a_row").get_to(meta.refused_in_a_row);
  j.at("metrics_bytes").get_to(meta.metrics_bytes);
  meta.metrics_owed = j.value("metrics_owed", "");
  j.at("threads").get_to(meta.threads);
  meta.world_size = j.value("world_size", 1);
  j.at("versions").get_to(meta.versions);
  if (j.contains("config")) j.at("config").get_to(meta.config);
  for (const auto& [name, entry] : j.at("files").items()) {
    document.files[name] = {entry.at("bytes").get<std::int64_t>(),
                            FromHex(entry.at("xxh3").get<std::string>())};
  }
  return document;
}

}  // namespace

std::string FormatDocument(const CheckpointDocument& document) {
  json j = ToJson(document);
  // A tokenizer's path need not be UTF-8.
  const auto text = [&](int indent) {
    return j.dump(indent, ' ', false, json::error_handler_t::replace);
  };
  j[kOwnHash] = Hex(Xxh3(text(-1)));
  return text(2) + "\n";
}

CheckpointDocument ParseDocument(const std::string& text) {
  json j = IsTooDeepJson(text) ? json(json::value_t::discarded)
                               : json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (j.is_discarded() || !j.is_object()) {
    throw std::runtime_error("checkpoint.json is truncated or not JSON");
  }
  try {
    const std::string hash = j.at(kOwnHash).get<std::string>();
    j.erase(kOwnHash);
    if (Hex(Xxh3(j.dump())) != hash)
      throw std::runtime_error("checkpoint.json is corrupt: its hash does not match");
    if (const auto format = j.at("format").get<int>(); format < kPlainFormat || format > kFormat) {
      throw std::runtime_error(fmt::format(
          "checkpoint.json has format {}, but this version reads up to {}; use the version "
          "that wrote it",
          format, kFormat));
    }
    return FromJson(j);
  } catch (const json::exception& error) {
    throw std::runtime_error(fmt::format("checkpoint.json: {}", error.what()));
  } catch (const std::logic_error&) {  // stoull
    throw std::runtime_error("checkpoint.json has an invalid hash");
  }
}

std::string FormatOrder(const OrderOptions& order) { return OrderToJson(order).dump(); }

}  // namespace fastclip

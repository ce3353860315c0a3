#include "trainer/state/weights_origin.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "pipeline/base/json_depth.h"
#include "tokenizer/tokenizer_spec.h"
#include "trainer/base/config_table.h"
#include "trainer/base/file_io.h"
#include "trainer/model/openclip_config.h"
#include "trainer/model/presets.h"
#include "trainer/state/checkpoint.h"
#include "trainer/step/batch_tensors.h"

namespace fastclip {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kOurs = "checkpoint.json";
constexpr const char* kOpenClips = "open_clip_config.json";
constexpr std::int64_t kLimit = 1 << 20;

std::string ToTakeThemAllTheSame(const WeightsOrigin& origin) {
  return fmt::format("To use the weights anyway, copy them to a folder without {}",
                     fs::path(origin.file).filename().string());
}

/// Images normalized differently are different inputs to the model.
void CheckNormalisation(const std::string& file, const json& preprocessing) {
  for (const auto& [key, expected] :
       {std::pair{"mean", kPictureMean}, {"std", kPictureDeviation}}) {
    const json given = preprocessing.value(key, json());
    if (!given.is_array() || given.size() != expected.size()) continue;
    for (std::size_t c = 0; c < expected.size(); ++c) {
      if (given[c].is_number() && std::abs(given[c].get<double>() - expected[c]) < 1e-4) continue;
      throw ConfigError(fmt::format(
          "{}: the weights expect images normalized with {} {}, but only [{}, {}, {}] is supported",
          file, key, given.dump(), expected[0], expected[1], expected[2]));
    }
  }
}

/// Images are resized by the shorter side (bicubic), then cropped.
std::string DescribeResizing(const std::string& file, const json& preprocessing) {
  std::string others;
  for (const auto& [key, ours] :
       {std::pair{"interpolation", "bicubic"}, {"resize_mode", "shortest"}}) {
    const json given = preprocessing.value(key, json());
    if (!given.is_string() || given == ours) continue;
    others +=
        fmt::format("{}{} = {} (here {})", others.empty() ? "" : ", ", key, given.dump(), ours);
  }
  return others.empty() ? ""
                        : fmt::format("note: {}: the weights were trained with {}", file, others);
}

WeightsOrigin OpenClipsOrigin(const fs::path& file) {
  const std::string text = ReadWholeFile(file, kLimit);
  const json document = IsTooDeepJson(text) ? json() : json::parse(text, nullptr, false);
  if (!document.is_object()) {
    throw std::runtime_error(fmt::format("{}: is damaged or not a JSON object", file.string()));
  }
  if (!document.contains("model_cfg")) {
    throw std::runtime_error(fmt::format("{}: has no \"model_cfg\"", file.string()));
  }
  std::string note;
  if (document.contains("preprocess_cfg") && document["preprocess_cfg"].is_object()) {
    CheckNormalisation(file, document["preprocess_cfg"]);
    note = DescribeResizing(file, document["preprocess_cfg"]);
  }
  return {
      .file = file,
      .model = fs::absolute(file).parent_path().filename(),
      .model_config = document["model_cfg"].dump(-1, ' ', false, json::error_handler_t::replace),
      .tokenizer = {},
      .note = std::move(note)};
}

/// The preset with the needed `quick_gelu`, else how to make a model file.
std::string ModelWith(const ModelDifference& difference, const ModelInUse& model) {
  if (difference.key == "quick_gelu") {
    const std::string suffix = "-quickgelu";
    std::string name = model.config.name;
    name = name.ends_with(suffix) ? name.substr(0, name.size() - suffix.size()) : name + suffix;
    if (std::ranges::count(ModelPresets(), name) > 0) {
      return fmt::format("set {} to {}", model.model_option, name);
    }
  }
  if (difference.ours == "none") return "no supported model has that";
  return fmt::format("set {} to a model file with {} = {}", model.model_option, difference.key,
                     difference.theirs);
}

/// The model that the weights were trained as: a preset, or the model file of their run; "" if
/// neither is known.
std::string OwnModel(const WeightsOrigin& origin) {
  if (std::ranges::count(ModelPresets(), origin.model) > 0 &&
      !DifferenceFrom(origin.model_config, LoadModelConfig(origin.model))) {
    return origin.model;
  }
  const fs::path config(origin.file);
  const fs::path run = fs::absolute(config).parent_path().parent_path().parent_path();
  std::error_code absent;
  const bool has_file = config.filename() == kOurs && fs::exists(run / "model.toml", absent);
  return has_file ? (run / "model.toml").string() : "";
}

/// What to do about weights of another model.
std::string Remedy(const WeightsOrigin& origin, const ModelDifference& difference,
                   const ModelInUse& model) {
  const std::string own = OwnModel(origin);
  if (!own.empty()) {
    return fmt::format("these are weights of {0}: set {1} to {0}", own, model.model_option);
  }
  return fmt::format("{}. {}", ModelWith(difference, model), ToTakeThemAllTheSame(origin));
}

/// Whether the file name is that of published weights with QuickGELU.
bool SoundsLikeQuickGelu(const std::string& file) {
  std::string lower = file;
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
  constexpr const char* kNames[] = {"openai", "quickgelu", "metaclip", "dfn"};
  return std::ranges::any_of(
      kNames, [&](const char* name) { return lower.find(name) != std::string::npos; });
}

}  // namespace

std::uint64_t VocabularyHash(const std::string& tokenizer) {
  return DigestFile(VocabularyFile(ParseTokenizerSpec(tokenizer))).xxh3;
}

std::optional<WeightsOrigin> OriginOf(const std::string& weights) {
  fs::path folder = fs::path(weights).parent_path();
  if (folder.empty()) folder = ".";
  std::error_code absent;
  if (fs::exists(folder / kOurs, absent)) {
    const CheckpointMeta meta = ReadCheckpointMeta(folder);
    if (meta.model_config.empty()) return std::nullopt;
    return WeightsOrigin{.file = folder / kOurs,
                         .model = meta.model,
                         .model_config = meta.model_config,
                         .tokenizer = meta.tokenizer,
                         .vocabulary_hash = meta.vocabulary_hash,
                         .batch_size = meta.order.batch_size};
  }
  if (fs::exists(folder / kOpenClips, absent)) return OpenClipsOrigin(folder / kOpenClips);
  return std::nullopt;
}

std::string OpenClipDocument(const std::string& model_config) {
  const json model = json::parse(model_config, nullptr, /*allow_exceptions=*/false);
  if (!model.is_object()) return "";
  const json document = {{"model_cfg", model},
                         {"preprocess_cfg",
                          {{"mean", kPictureMean},
                           {"std", kPictureDeviation},
                           {"interpolation", "bicubic"},
                           {"resize_mode", "shortest"}}}};
  return document.dump(2) + "\n";
}

ModelConfig ModelOf(const WeightsOrigin& origin) {
  try {
    return ModelOfOpenClipJson(origin.model_config, origin.model);
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(fmt::format("{}: {}", origin.file, error.what()));
  }
}

std::string CheckOrigin(const std::string& weights, const ModelInUse& model) {
  const std::optional<WeightsOrigin> origin = OriginOf(weights);
  if (!origin) {
    return fmt::format(
        "note: no model config (checkpoint.json, open_clip_config.json) next to {}. Not checked: "
        "quick_gelu = {}, vision.head_width = {}, text.heads = {} and the tokenizer{}",
        weights, model.config.quick_gelu, model.config.vision.head_width, model.config.text.heads,
        !model.config.quick_gelu && SoundsLikeQuickGelu(weights)
            ? fmt::format(". Its name suggests quick_gelu = true: {}",
                          ModelWith({"quick_gelu", "true", "false"}, model))
            : "");
  }
  if (const auto difference = DifferenceFrom(origin->model_config, model.config)) {
    throw ConfigError(fmt::format("{}: the weights have {} = {}, but model {} has {}; {}",
                                  origin->file, difference->key, difference->theirs,
                                  model.config.name, difference->ours,
                                  Remedy(*origin, *difference, model)));
  }
  if (!origin->tokenizer.empty() &&
      (ParseTokenizerSpec(origin->tokenizer).kind != ParseTokenizerSpec(model.tokenizer).kind ||
       origin->vocabulary_hash != model.vocabulary_hash)) {
    throw ConfigError(fmt::format(
        "{}: the weights need tokenizer {} (hash {:016x}), but {} is {} (hash {:016x}); use the "
        "tokenizer of the weights. {}",
        origin->file, origin->tokenizer, origin->vocabulary_hash, model.tokenizer_option,
        model.tokenizer, model.vocabulary_hash, ToTakeThemAllTheSame(*origin)));
  }
  return origin->note;
}

}  // namespace fastclip

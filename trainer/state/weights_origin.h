#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "trainer/model/clip_model.h"

namespace fastclip {

/// The model of a weights file, from a config next to it: our checkpoint.json, or OpenCLIP's
/// open_clip_config.json.
struct WeightsOrigin {
  std::string file;                   ///< the config
  std::string model;                  ///< its name; empty: unknown
  std::string model_config;           ///< in OpenCLIP's format
  std::string tokenizer;              ///< its spec; empty: unknown
  std::uint64_t vocabulary_hash = 0;  ///< XXH3 of the vocabulary file
  std::int64_t batch_size = 0;        ///< that it was trained with; 0: unknown
  std::string note{};                 ///< differences that are not errors
};
/// Nothing if there is no config next to the weights, or it does not give the model. Throws
/// std::runtime_error if it is damaged.
std::optional<WeightsOrigin> OriginOf(const std::string& weights);
/// The open_clip_config.json of an OpenCLIP model config: with it and model.safetensors OpenCLIP
/// opens a folder by itself ("local-dir:FOLDER"). "" if the config is not a JSON object.
std::string OpenClipDocument(const std::string& model_config);
/// The model of the weights. Throws std::runtime_error if it is not supported.
ModelConfig ModelOf(const WeightsOrigin& origin);

/// A model to load weights into.
struct ModelInUse {
  const ModelConfig& config;
  std::string tokenizer;  ///< its spec
  std::uint64_t vocabulary_hash = 0;
  /// The options that set them, for errors, such as "model.name" and "data.tokenizer".
  std::string model_option, tokenizer_option;
};
/// Checks what tensor shapes do not show: activation, heads, pooling, image normalization,
/// vocabulary. Throws ConfigError with the key, both values and what to do. Returns a note if there
/// is no config next to the file, or if images were resized differently, else "".
std::string CheckOrigin(const std::string& weights, const ModelInUse& model);

/// XXH3 of the vocabulary file of a tokenizer spec.
std::uint64_t VocabularyHash(const std::string& tokenizer);

}  // namespace fastclip

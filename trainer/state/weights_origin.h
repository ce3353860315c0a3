#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "trainer/model/clip_model.h"

namespace fastclip {

/// What stands beside a file of weights about the model that they are of: our checkpoint.json, or
/// OpenCLIP's open_clip_config.json.
struct WeightsOrigin {
  std::string file;                   ///< that tells it
  std::string model;                  ///< its name; empty: not known
  std::string model_config;           ///< in OpenCLIP's words
  std::string tokenizer;              ///< its spec; empty: not known
  std::uint64_t vocabulary_hash = 0;  ///< XXH3 of the file that it was read from
  std::string note{};                 ///< what differs here and is no reason to refuse them
};
/// Nothing where neither is there, or neither tells the model. Throws std::runtime_error where one
/// is damaged.
std::optional<WeightsOrigin> OriginOf(const std::string& weights);
/// The model that they are of. Throws std::runtime_error where it does not exist here.
ModelConfig ModelOf(const WeightsOrigin& origin);

/// A model that weights are to go into.
struct ModelInUse {
  const ModelConfig& config;
  std::string tokenizer;  ///< its spec
  std::uint64_t vocabulary_hash = 0;
  /// What the user sets them with, for errors: "model.name" and "data.tokenizer", say.
  std::string model_option, tokenizer_option;
};
/// Compares the weights with what their shapes do not show: activation, heads, pooling, the
/// normalisation of pictures, the vocabulary. Throws ConfigError naming the key, both values and
/// what to do. Returns a line to say where nothing beside the file tells, or where
/// its pictures were resized in another way, else "".
std::string CheckOrigin(const std::string& weights, const ModelInUse& model);

/// XXH3 of the vocabulary file of a tokenizer's spec.
std::uint64_t VocabularyHash(const std::string& tokenizer);

}  // namespace fastclip

#pragma once

#include <string>
#include <utility>
#include <vector>

namespace fastclip {

/// What an adapter_config.json of PEFT's LoRA says of our maps.
///
/// The ranks are those of the tensors, and target_modules the modules that have tensors: both are
/// not read.
class PeftConfig {
 public:
  /// Throws std::runtime_error with `where`: not JSON, not LoRA, or an option that changes what
  /// LoRA computes and that is not supported, by name.
  PeftConfig(const std::string& json, const std::string& where);

  bool rslora() const { return rslora_; }
  double dropout() const { return dropout_; }
  /// lora_alpha, or the first of alpha_pattern that matches the module's path, as PEFT reads it: a
  /// regular expression for the path or its end. Throws std::runtime_error if it cannot be read.
  double AlphaOf(const std::string& module) const;

 private:
  std::string where_;
  double alpha_ = 8, dropout_ = 0;
  bool rslora_ = false;
  std::vector<std::pair<std::string, double>> patterns_;
};

}  // namespace fastclip

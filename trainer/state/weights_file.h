#pragma once

#include <optional>
#include <string>
#include <vector>

#include "trainer/model/weights_fit.h"
#include "trainer/state/safetensors.h"

namespace fastclip {

/// The weights of a .safetensors file under OpenCLIP's names. Opening it reads the header alone.
///
/// The prefixes that PyTorch's wrappers put before every name, "module." (DistributedDataParallel)
/// and "_orig_mod." (torch.compile), are stripped.
class WeightsFile {
 public:
  /// Throws as SafetensorsReader does.
  explicit WeightsFile(const std::string& path);

  const std::string& path() const { return path_; }
  /// What was stripped from all names.
  const std::string& prefix() const { return prefix_; }
  /// "FILE: the prefix 'module.' of its names is stripped", or "".
  std::string DescribePrefix() const;
  const std::vector<NamedShape>& shapes() const { return shapes_; }
  /// The tensor of one number that has this name. Throws std::runtime_error if it is not finite.
  std::optional<double> Number(const std::string& name) const;
  /// All tensors. Throws std::runtime_error naming the first with a NaN or an infinity.
  NamedTensors Read() const;

 private:
  std::string path_;
  SafetensorsReader reader_;
  std::string prefix_;
  std::vector<NamedShape> shapes_;
};

/// The first tensor with a NaN or an infinity; "": none.
std::string FirstNotFinite(const NamedTensors& tensors);

}  // namespace fastclip

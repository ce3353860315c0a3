#pragma once

#include <optional>
#include <string>
#include <vector>

#include "trainer/model/weights_fit.h"
#include "trainer/state/safetensors.h"

namespace fastclip {

/// The weights of a .safetensors file with OpenCLIP's names. Opening it reads only the header.
///
/// Prefixes of PyTorch's wrappers are stripped: "module." (DistributedDataParallel) and
/// "_orig_mod." (torch.compile).
class WeightsFile {
 public:
  /// Throws like SafetensorsReader.
  explicit WeightsFile(const std::string& path);

  const std::string& path() const { return path_; }
  /// The prefix stripped from all names.
  const std::string& prefix() const { return prefix_; }
  /// "FILE: stripped the prefix 'module.' of its tensor names", or "".
  std::string DescribePrefix() const;
  const std::vector<NamedShape>& shapes() const { return shapes_; }
  /// The value of a one-element tensor. Throws std::runtime_error if it is not finite.
  std::optional<double> Number(const std::string& name) const;
  /// All tensors. Throws std::runtime_error with the first that has a NaN or an infinity.
  NamedTensors Read() const;

 private:
  std::string path_;
  SafetensorsReader reader_;
  std::string prefix_;
  std::vector<NamedShape> shapes_;
};

/// Name of the first tensor with a NaN or an infinity; "": none.
std::string FirstNotFinite(const NamedTensors& tensors);

}  // namespace fastclip

#include "tools/train/adapter_source.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <filesystem>
#include <stdexcept>

#include "pipeline/base/printable.h"
#include "pipeline/base/suggested_command.h"
#include "pipeline/files/output_file.h"
#include "tools/cli/tell.h"
#include "tools/cli/usage_error.h"
#include "trainer/adapters/adapter_file.h"
#include "trainer/adapters/base_hash.h"
#include "trainer/adapters/merge_adapter.h"
#include "trainer/model/fresh_weights.h"
#include "trainer/state/checkpoint.h"
#include "trainer/state/safetensors.h"
#include "trainer/state/weights_file.h"
#include "trainer/state/weights_origin.h"

namespace fastclip {
namespace fs = std::filesystem;

BaseWeights ReadBase(const std::string& path, const Adapter& adapter) {
  const ModelSource source = ResolveModel(path);
  TellSkipped(source.passed_over);
  if (source.is_adapter) {
    throw std::runtime_error(
        fmt::format("{}: is an adapter, not a base; merge it with its own base first: {}", path,
                    SuggestedCommand("adapt merge")));
  }
  const WeightsFile file(source.file);
  if (!file.prefix().empty()) Tell("{}\n", file.DescribePrefix());
  const ModelConfig model = ModelOf(adapter);
  const ClipModel shape(model, FreshWeights::kZero, 0.07, at::kFloat, {}, at::kMeta);
  CheckWeightsFit(model, shape.shapes(), file.shapes(), source.file);
  BaseWeights base{.file = source.file, .tensors = file.Read(), .hash = {}};
  base.hash = BaseHash(base.tensors);
  return base;
}

Adapter OpenAdapter(const std::string& path) {
  const ModelSource source = FindAdapter(path);
  TellSkipped(source.passed_over);
  return ReadAdapter(fs::path(source.file).parent_path());
}

void CheckBaseOf(const Adapter& adapter, const std::string& where, const BaseWeights& base) {
  const std::string note = CheckBase(adapter, base.hash, where, base.file);
  if (!note.empty()) Tell("{}\n", note);
}

std::string WeightsOutput(const std::string& path, const std::vector<std::string>& inputs) {
  if (!path.ends_with(".safetensors")) {
    throw UsageError(fmt::format("--out must be a .safetensors file, not '{}'", Printable(path)));
  }
  const OutputKind kind = {"a .safetensors file", [](std::string_view head) {
                             return head.size() > 8 && head.substr(8, 1) == "{";
                           }};
  std::string target = CheckOutputPath(path, kind);
  for (const std::string& input : inputs) {
    std::error_code absent;
    if (fs::equivalent(input, target, absent)) {
      throw UsageError(fmt::format("--out {}: is read by the command; use another name", path));
    }
  }
  return target;
}

}  // namespace fastclip

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <charconv>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/base/printable.h"
#include "tools/cli/cli.h"
#include "tools/cli/tell.h"
#include "tools/cli/usage_error.h"
#include "tools/train/adapt_verbs.h"
#include "tools/train/adapter_source.h"
#include "trainer/adapters/adapter_file.h"
#include "trainer/adapters/base_hash.h"
#include "trainer/adapters/fuse_adapters.h"
#include "trainer/adapters/merge_adapter.h"
#include "trainer/state/safetensors.h"
#include "trainer/state/weights_file.h"

namespace fastclip {
namespace {

/// "A:0.7": the folder and its weight.
std::pair<std::string, double> SplitWeight(const std::string& word) {
  const std::size_t colon = word.rfind(':');
  double weight = 0;
  if (colon != word.npos && colon > 0) {
    const char *first = word.data() + colon + 1, *last = word.data() + word.size();
    const auto [end, error] = std::from_chars(first, last, weight);
    if (error == std::errc{} && end == last && weight >= -1e6 && weight <= 1e6) {
      return {word.substr(0, colon), weight};
    }
  }
  throw UsageError(
      fmt::format("'{}' has no weight; write ADAPTER:WEIGHT, as in lora:0.7", Printable(word)));
}

}  // namespace

int RunAdaptMerge(int argc, const char* const* argv) {
  std::string base_path, adapter_path, out;
  bool forget = false;
  CLI::App app(
      "Writes a model whose weights hold what an adapter has learned. It then runs without the\n"
      "adapter. The sum is computed in float32 and rounded once to the type of BASE.\n"
      "What it replaced is written beside it, for unmerge: FILE.unmerge.safetensors.",
      "fastclip adapt merge");
  app.add_option("BASE", base_path, kBaseHelp)->required();
  app.add_option("ADAPTER", adapter_path, kAdapterHelp)->required();
  app.add_option("--out", out, ".safetensors file to write")->required();
  app.add_flag("--forget-base", forget, "do not write what unmerge needs");
  app.footer("example: fastclip adapt merge clip.safetensors runs/lora --out merged.safetensors");
  if (!ParseArguments(app, argc, argv)) return 0;
  const Adapter adapter = OpenAdapter(adapter_path);
  const BaseWeights base = ReadBase(base_path, adapter);
  CheckBaseOf(adapter, adapter_path, base);
  const std::string target = WeightsOutput(out, {base.file});
  const std::string kept = UnmergeFileOf(target);
  const MergedWeights merged = Merge(base.tensors, adapter);
  if (const std::string bad = FirstNotFinite(merged.tensors); !bad.empty()) {
    throw std::runtime_error(
        fmt::format("{}: the merged tensor {} is too large for its type; convert {} to float32",
                    adapter_path, bad, base.file));
  }
  WriteSafetensors(target, merged.tensors, {{"format", "pt"}});
  if (!forget) {
    WriteUnmergeFile(kept, {merged.changes, BaseHash(merged.tensors), base.hash});
  } else {
    std::filesystem::remove(kept);  // of an earlier merge of this name
  }
  fmt::print("{}: model {} with {}; {} changed\n", out, adapter.model, adapter_path,
             Counted(std::ssize(merged.changes), "tensor"));
  if (!forget) fmt::print("{}: what they were before, for unmerge\n", kept);
  for (const auto& [name, tensor] : adapter.tensors) {
    if (!name.starts_with("head.")) continue;
    Tell("note: {} is not part of a CLIP model and was left out\n", Printable(name));
  }
  return 0;
}

int RunAdaptUnmerge(int argc, const char* const* argv) {
  std::string merged_path, out;
  CLI::App app(
      "Takes an adapter out of a model that merge wrote, which restores the base exactly. Reads\n"
      "MERGED.unmerge.safetensors beside it, which merge wrote too.",
      "fastclip adapt unmerge");
  app.add_option("MERGED", merged_path, ".safetensors file that merge wrote")->required();
  app.add_option("--out", out, ".safetensors file to write")->required();
  app.footer("example: fastclip adapt unmerge merged.safetensors --out clip.safetensors");
  if (!ParseArguments(app, argc, argv)) return 0;
  const std::string kept_path = UnmergeFileOf(merged_path);
  if (!std::filesystem::exists(kept_path)) {
    throw std::runtime_error(fmt::format(
        "{}: does not exist. It holds what the adapter replaced in {}, and fastclip adapt merge "
        "writes it unless --forget-base is given; without it the base cannot be restored",
        kept_path, merged_path));
  }
  const UnmergeFile kept = ReadUnmergeFile(kept_path);
  const std::string target = WeightsOutput(out, {merged_path, kept_path});
  NamedTensors tensors = ReadSafetensors(merged_path).tensors;
  if (BaseHash(tensors) != kept.merged) {
    throw std::runtime_error(
        fmt::format("{}: was changed since it was merged (its SHA-256 is not the one in {})",
                    merged_path, kept_path));
  }
  Unmerge(tensors, kept.changes);
  if (BaseHash(tensors) != kept.base) {
    throw std::runtime_error(
        fmt::format("{}: is damaged: it does not give the base that was merged", kept_path));
  }
  WriteSafetensors(target, tensors, {{"format", "pt"}});
  fmt::print("{}: the base of {}, SHA-256 {}\n", out, merged_path, kept.base);
  return 0;
}

int RunAdaptFuse(int argc, const char* const* argv) {
  std::vector<std::string> words;
  std::string base_path, out, overlap = "exclude";
  CLI::App app(
      "Sums adapters of one base into one, each with its weight. Ranks of LoRA add up; S²FT gets\n"
      "the columns of all.",
      "fastclip adapt fuse");
  app.add_option("ADAPTER:WEIGHT", words, "adapters and their weights, as in lora:0.7")
      ->required()
      ->expected(-1);  // one or more
  app.add_option("--base", base_path, kBaseHelp)->required();
  app.add_option("--out", out, kOutFolderHelp)->required();
  app.add_option("--overlap", overlap,
                 "columns of S²FT that several adapters train: exclude refuses them, add sums them")
      ->check(OneOf({"exclude", "add"}))
      ->capture_default_str();
  app.footer("example: fastclip adapt fuse birds:0.7 cars:0.5 --base clip.safetensors --out both");
  if (!ParseArguments(app, argc, argv)) return 0;
  std::vector<WeightedAdapter> adapters;
  for (const std::string& word : words) {
    auto [path, weight] = SplitWeight(word);
    Adapter adapter = OpenAdapter(path);
    adapters.push_back({std::move(path), std::move(adapter), weight});
  }
  const BaseWeights base = ReadBase(base_path, adapters[0].adapter);
  for (const WeightedAdapter& of : adapters) {
    if (of.adapter.base.empty()) ReadBase(base_path, of.adapter);  // shapes at least
    CheckBaseOf(of.adapter, of.name, base);
  }
  Adapter fused =
      Fuse(adapters, base.tensors, overlap == "add" ? OnOverlap::kAdd : OnOverlap::kRefuse);
  fused.base = base.hash;
  CheckAdapter(fused, out);
  WriteAdapter(out, fused);
  fmt::print("{}: {} adapter of model {}, the sum of {}\n", out, LayoutOf(fused), fused.model,
             Counted(std::ssize(adapters), "adapter"));
  return 0;
}

}  // namespace fastclip

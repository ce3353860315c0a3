#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "pipeline/base/printable.h"
#include "tools/cli/cli.h"
#include "tools/cli/tell.h"
#include "tools/cli/usage_error.h"
#include "tools/train/adapt_verbs.h"
#include "tools/train/adapter_source.h"
#include "trainer/adapters/adapter_file.h"
#include "trainer/adapters/column_sites.h"
#include "trainer/adapters/merge_adapter.h"
#include "trainer/adapters/peft_export.h"
#include "trainer/model/presets.h"

namespace fastclip {
namespace {

std::int64_t Elements(const Adapter& adapter) {
  std::int64_t all = 0;
  for (const auto& [name, tensor] : adapter.tensors) {
    if (at::isFloatingType(tensor.scalar_type())) all += tensor.numel();
  }
  return all;
}

void Report(const std::string& out, const Adapter& adapter) {
  fmt::print("{}: {} adapter of model {}, {} parameters\n", out, LayoutOf(adapter), adapter.model,
             Elements(adapter));
}

void PrintInfo(const Adapter& adapter, const std::string& path) {
  fmt::print("{}: {} adapter of model {}\n", path, LayoutOf(adapter), adapter.model);
  for (const TunerSpec& spec : ReadRecipe(adapter, path)) {
    fmt::print("  {}: {}\n", Printable(spec.text), Counted(std::ssize(spec.sites), "site"));
  }
  fmt::print("parameters  {} in {}\n", Elements(adapter),
             Counted(std::ssize(adapter.tensors), "tensor"));
  if (const std::int64_t classes = ClassesOf(adapter); classes > 0) {
    fmt::print("head        {}, {} classes{}\n", adapter.head, classes,
               adapter.classes.empty()
                   ? ""
                   : fmt::format(", from '{}' to '{}'", Printable(adapter.classes.front()),
                                 Printable(adapter.classes.back())));
  }
  std::vector<std::string> own;
  for (const auto& [name, tensor] : ModelTensors(adapter)) own.push_back(Printable(name));
  if (!own.empty()) fmt::print("model part  {}\n", fmt::join(own, ", "));
  fmt::print("base        {}\n", adapter.base.empty() ? "unknown" : "SHA-256 " + adapter.base);
  const std::vector<std::string> not_these = NotMergeable(adapter);
  fmt::print("mergeable   {}\n",
             not_these.empty()
                 ? "yes"
                 : Printable(fmt::format("no: {} cannot be merged", fmt::join(not_these, "; "))));
}

void PrintInfoJson(const Adapter& adapter, const std::string& path) {
  nlohmann::ordered_json json = {{"layout", LayoutOf(adapter)},
                                 {"model", adapter.model},
                                 {"base_sha256", adapter.base},
                                 {"parameters", Elements(adapter)},
                                 {"head", adapter.head},
                                 {"head_classes", ClassesOf(adapter)},
                                 {"mergeable", NotMergeable(adapter).empty()}};
  for (const TunerSpec& spec : ReadRecipe(adapter, path)) {
    nlohmann::ordered_json tuner = {{"tuner", spec.text}, {"kind", spec.kind}};
    for (const Site& site : spec.sites) tuner["sites"].push_back(site.id());
    json["tuners"].push_back(tuner);
  }
  for (const auto& [name, tensor] : adapter.tensors) {
    json["tensors"][name] = tensor.sizes().vec();
  }
  fmt::print("{}\n", json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace

int RunAdaptInfo(int argc, const char* const* argv) {
  std::string path;
  bool json = false;
  CLI::App app(
      "Shows an adapter: its tuners and sites, parameters, the hash of its base, and whether it\n"
      "can be merged.",
      "fastclip adapt info");
  app.add_option("ADAPTER", path, kAdapterHelp)->required();
  app.add_flag("--json", json, kJsonHelp);
  app.footer("example: fastclip adapt info runs/lora");
  if (!ParseArguments(app, argc, argv)) return 0;
  const Adapter adapter = OpenAdapter(path);
  json ? PrintInfoJson(adapter, path) : PrintInfo(adapter, path);
  return 0;
}

int RunAdaptExport(int argc, const char* const* argv) {
  std::string path, out, base, dialect = "hf_clip";
  bool as_lora = false;
  CLI::App app(
      "Writes an adapter as adapter_model.safetensors and adapter_config.json. LoRA is written in\n"
      "the layout of Hugging Face PEFT; other kinds in a layout of this program.",
      "fastclip adapt export");
  app.add_option("ADAPTER", path, kAdapterHelp)->required();
  app.add_option("--out", out, kOutFolderHelp)->required();
  app.add_option("--dialect", dialect,
                 "module names of transformers' CLIPModel (hf_clip) or of OpenCLIP (open_clip)")
      ->check(OneOf({"hf_clip", "open_clip"}))
      ->capture_default_str();
  CLI::Option* const lora =
      app.add_flag("--as-lora", as_lora,
                   "write S²FT as LoRA, which is exact: the rank is the number of columns");
  app.add_option("--base", base, std::string("with --as-lora: ") + kBaseHelp)->needs(lora);
  app.footer(
      "example: fastclip adapt export runs/lora --out lora\n"
      "         fastclip adapt export runs/s2ft --as-lora --base clip.safetensors --out s2ft");
  if (!ParseArguments(app, argc, argv)) return 0;
  Adapter adapter = OpenAdapter(path);
  if (as_lora) {
    if (base.empty()) {
      throw UsageError("--as-lora needs --base: S²FT stores weights, LoRA their change");
    }
    const BaseWeights weights = ReadBase(base, adapter);
    CheckBaseOf(adapter, path, weights);
    for (const TunerSpec& spec : ReadRecipe(adapter, path)) {
      if (spec.kind == "s2ft") continue;
      throw std::runtime_error(
          fmt::format("{}: --as-lora converts s2ft, not \"{}\"", path, Printable(spec.text)));
    }
    adapter = ColumnsAsLora(adapter, weights.tensors);
  }
  const Dialect to = dialect == "hf_clip" ? Dialect::kHfClip : Dialect::kOpenClip;
  WriteAdapter(out, adapter, to);
  Report(out, adapter);
  if (LayoutOf(adapter) != "LORA") {
    Tell("note: PEFT has no layout for these tuners; only fastclip reads {}\n", out);
    return 0;
  }
  if (const std::vector<std::string> ignored = IgnoredByPeft(adapter, to); !ignored.empty()) {
    Tell("note: PEFT ignores {} of this adapter: {}\n", Counted(std::ssize(ignored), "parameter"),
         Printable(fmt::format("{}", fmt::join(ignored, ", "))));
  }
  return 0;
}

int RunAdaptImport(int argc, const char* const* argv) {
  std::string path, out, model, base;
  CLI::App app(
      "Reads a LoRA adapter that Hugging Face PEFT wrote for transformers' CLIPModel or for\n"
      "OpenCLIP, and writes it as an adapter of this program.",
      "fastclip adapt import");
  app.add_option("PEFT_DIR", path, "folder with adapter_model.safetensors and adapter_config.json")
      ->required();
  app.add_option("--model", model, "preset or model .toml that the adapter belongs to")->required();
  app.add_option("--base", base,
                 std::string("record the base, so that others are refused later: ") + kBaseHelp);
  app.add_option("--out", out, kOutFolderHelp)->required();
  app.footer("example: fastclip adapt import peft/lora --model ViT-B-32 --out lora");
  if (!ParseArguments(app, argc, argv)) return 0;
  Adapter adapter = ReadPeftAdapter(path, LoadModelConfig(model));
  if (!base.empty()) adapter.base = ReadBase(base, adapter).hash;
  WriteAdapter(out, adapter);
  Report(out, adapter);
  return 0;
}

}  // namespace fastclip

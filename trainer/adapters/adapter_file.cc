#include "trainer/adapters/adapter_file.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "pipeline/base/json_depth.h"
#include "pipeline/base/printable.h"
#include "pipeline/base/suggested_command.h"
#include "pipeline/files/atomic_file.h"
#include "pipeline/shards/shard_list.h"
#include "trainer/adapters/adapter_meta.h"
#include "trainer/adapters/peft_export.h"
#include "trainer/adapters/peft_import.h"
#include "trainer/base/file_io.h"
#include "trainer/model/presets.h"
#include "trainer/state/checkpoint_names.h"
#include "trainer/state/safetensors.h"

namespace fastclip {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::int64_t kMostConfigBytes = 256 << 10;

[[noreturn]] void Fail(const fs::path& where, const std::string& reason) {
  throw std::runtime_error(fmt::format("{}: {}", where.string(), reason));
}

/// The config of our own layouts, for people and to be told apart from PEFT's.
std::string OwnConfig(const Adapter& adapter) {
  const json config = {{"base_model_name_or_path", ""},
                       {"inference_mode", true},
                       {"peft_type", LayoutOf(adapter)},
                       {"task_type", nullptr},
                       {"tuners", adapter.tuners}};
  return config.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

AdapterDocument InOwnLayout(const Adapter& adapter) {
  AdapterDocument document{.config = OwnConfig(adapter), .tensors = {}};
  for (const auto& [name, tensor] : adapter.tensors) {
    const bool is_index = tensor.scalar_type() == at::kLong;
    document.tensors.emplace_back(OwnLayoutName(name), is_index ? tensor.to(at::kInt) : tensor);
  }
  return document;
}

std::string ReadConfig(const fs::path& folder) {
  if (!fs::is_directory(folder)) Fail(folder, "is not a folder with an adapter");
  if (!fs::exists(folder / kAdapterConfigFile) || !fs::exists(folder / kAdapterFile)) {
    Fail(folder, fmt::format("is not an adapter folder: it needs {} and {}", kAdapterConfigFile,
                             kAdapterFile));
  }
  return ReadWholeFile(folder / kAdapterConfigFile, kMostConfigBytes);
}

json ParsedConfig(const std::string& text, const fs::path& file) {
  json config = IsTooDeepJson(text) ? json() : json::parse(text, nullptr, false);
  if (!config.is_object()) Fail(file, "is damaged or not a JSON object");
  return config;
}

Adapter FromFiles(const fs::path& folder, const std::string& config, const SafetensorsFile& file,
                  Adapter ours) {
  const json parsed = ParsedConfig(config, folder / kAdapterConfigFile);
  if (parsed.value("peft_type", json()) == "LORA") {
    Adapter read = FromPeft(config, file.tensors, ours, /*plain_names=*/true, folder.string());
    if (ours.tuners.empty()) return read;
    // The recipe that it was trained with says the same in the words of its user.
    ours.tensors = std::move(read.tensors);
    CheckAdapter(ours, folder.string());
    const json expected = json::parse(ToPeft(ours, Dialect::kHfClip).config);
    if (parsed == expected) return ours;
  } else {
    for (const auto& [name, tensor] : file.tensors) {
      const bool is_index = tensor.scalar_type() == at::kInt;
      ours.tensors.emplace_back(FromOwnLayoutName(name), is_index ? tensor.to(at::kLong) : tensor);
    }
    if (parsed == json::parse(OwnConfig(ours))) return ours;
  }
  Fail(folder / kAdapterConfigFile,
       fmt::format("does not match the recipe in {}: one of the two was edited. An edited adapter "
                   "of PEFT's can be imported: {}",
                   kAdapterFile, SuggestedCommand("adapt import")));
}

}  // namespace

bool IsAdapterFolder(const std::string& folder) {
  return fs::exists(fs::path(folder) / kAdapterConfigFile);
}

ModelSource FindAdapter(const std::string& path) {
  if (!fs::exists(path)) {
    throw std::runtime_error(
        fmt::format("{}: does not exist{}; give an adapter folder, a run or a "
                    "checkpoint of fastclip adapt",
                    Printable(path), RelativeNote(path)));
  }
  if (IsAdapterFolder(path))
    return {.file = fs::path(path) / kAdapterFile, .is_adapter = true, .passed_over = {}};
  ModelSource source = ResolveModel(path);
  if (source.is_adapter) return source;
  throw std::runtime_error(
      fmt::format("{}: is a whole model, not an adapter: it was not trained by fastclip adapt",
                  Printable(path)));
}

std::string LayoutOf(const Adapter& adapter) {
  const auto all_of_kind = [&](std::string_view kind) {
    return !adapter.tuners.empty() &&
           std::ranges::all_of(adapter.tuners, [&](const std::string& tuner) {
             const std::size_t word = tuner.find_first_not_of(' ');
             return word != tuner.npos &&
                    std::string_view(tuner).substr(word).starts_with(std::string(kind) + " ");
           });
  };
  return all_of_kind("lora") ? "LORA" : all_of_kind("s2ft") ? "S2FT" : "UTUNING";
}

AdapterFiles FilesOf(const Adapter& adapter, Dialect dialect, const std::string& where) {
  const bool lora = LayoutOf(adapter) == "LORA";
  if (!lora && dialect != Dialect::kHfClip) {
    Fail(where, "only adapters of lora tuners can be exported for OpenCLIP");
  }
  AdapterDocument document = lora ? ToPeft(adapter, dialect) : InOwnLayout(adapter);
  const bool with_recipe = dialect == Dialect::kHfClip;
  return {.tensors = std::move(document.tensors),
          .metadata = {{"format", "pt"}, {kAdapterMeta, FormatAdapterMeta(adapter, with_recipe)}},
          .config = std::move(document.config)};
}

void WriteAdapter(const std::string& folder, const Adapter& adapter, Dialect dialect) {
  const AdapterFiles files = FilesOf(adapter, dialect, folder);
  // Without a slash at the end, so that parent_path() is the folder around it.
  fs::path final = fs::absolute(folder).lexically_normal();
  if (!final.has_filename()) final = final.parent_path();
  if (fs::exists(final) && !IsAdapterFolder(final) &&
      !(fs::is_directory(final) && fs::is_empty(final))) {
    Fail(folder, "exists and is not an adapter folder; remove it, or use another name");
  }
  const fs::path unfinished = final.string() + std::string(kUnfinished);
  fs::remove_all(unfinished);
  fs::create_directories(unfinished);
  WriteSafetensors(unfinished / kAdapterFile, files.tensors, files.metadata);
  ReplaceFile(unfinished / kAdapterConfigFile, files.config);
  ReplaceFolder(unfinished, final);
  fs::remove_all(final.string() + std::string(kReplacedFolder));
}

Adapter ReadAdapter(const std::string& folder) {
  const std::string config = ReadConfig(folder);
  const fs::path file = fs::path(folder) / kAdapterFile;
  const SafetensorsFile tensors = ReadSafetensors(file);
  const auto meta = tensors.metadata.find(kAdapterMeta);
  if (meta == tensors.metadata.end()) {
    Fail(folder,
         fmt::format("was not written by this program: convert it with {}",
                     SuggestedCommand("adapt import " + folder + " --model NAME --out DIR")));
  }
  Adapter ours = ParseAdapterMeta(meta->second, file);
  if (!ours.tuners.empty()) ReadRecipe(ours, folder);
  Adapter adapter = FromFiles(folder, config, tensors, std::move(ours));
  CheckAdapter(adapter, folder);
  return adapter;
}

Adapter ReadPeftAdapter(const std::string& folder, const ModelConfig& model) {
  const std::string config = ReadConfig(folder);
  const SafetensorsFile file = ReadSafetensors(fs::path(folder) / kAdapterFile);
  const Adapter like{.model = model.name,
                     .model_config = OpenClipJson(model),
                     .base = {},
                     .tuners = {},
                     .tensors = {}};
  Adapter adapter = FromPeft(config, file.tensors, like, /*plain_names=*/false, folder);
  CheckAdapter(adapter, folder);
  return adapter;
}

}  // namespace fastclip

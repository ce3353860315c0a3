#pragma once

#include <map>
#include <string>

#include "trainer/adapters/adapter.h"
#include "trainer/adapters/peft_names.h"
#include "trainer/state/checkpoint.h"

namespace fastclip {

/// An adapter folder:
///
///   adapter_model.safetensors  tensors; in its metadata FormatAdapterMeta()
///   adapter_config.json        what PEFT reads; peft_type LORA, S2FT or UTUNING
///
/// If all tuners are of the kind lora, it is PEFT's layout (ToPeft()). Else names are as
/// OwnLayoutName() gives them, which PEFT cannot load: S2FT with values of columns, UTUNING.
///
/// What the two files hold.
struct AdapterFiles {
  NamedTensors tensors;
  std::map<std::string, std::string> metadata;
  std::string config;
};
/// Throws std::runtime_error with `where`: ToPeft() refuses it.
AdapterFiles FilesOf(const Adapter& adapter, Dialect dialect, const std::string& where);

/// Writes `folder` aside, syncs and renames it; an adapter folder of that name is replaced. Throws
/// std::runtime_error: something else has that name, ToPeft() refuses it, a full disk.
void WriteAdapter(const std::string& folder, const Adapter& adapter,
                  Dialect dialect = Dialect::kHfClip);

/// Reads a folder that WriteAdapter() wrote, and checks it (CheckAdapter()). The files can be
/// anything. Throws std::runtime_error with the file and the reason: another program's adapter, two
/// files that do not belong together, and what CheckAdapter() finds.
Adapter ReadAdapter(const std::string& folder);

/// The adapter that `path` names: an adapter folder, the newest complete checkpoint of a run, or a
/// checkpoint. Throws std::runtime_error if there is none, or if it is a whole model.
ModelSource FindAdapter(const std::string& path);

/// Reads a folder of PEFT's for a model, whatever wrote it.
Adapter ReadPeftAdapter(const std::string& folder, const ModelConfig& model);

/// Whether it is an adapter folder, by the names of its files.
bool IsAdapterFolder(const std::string& folder);

/// "LORA", "S2FT" or "UTUNING".
std::string LayoutOf(const Adapter& adapter);

}  // namespace fastclip

#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "trainer/adapters/adapter.h"

namespace fastclip {

/// Texts of arguments that several verbs of `fastclip adapt` have.
inline constexpr const char* kAdapterHelp =
    "adapter folder, or a run of fastclip adapt (its newest complete checkpoint), or "
    "RUN/checkpoints/step_N";
inline constexpr const char* kBaseHelp =
    "the weights that the adapter was trained on: a .safetensors file with OpenCLIP's parameter "
    "names, a run folder, or RUN/checkpoints/step_N";

inline constexpr const char* kOutFolderHelp =
    "adapter folder to write; an adapter of that name is replaced";

/// The weights that adapters belong to.
struct BaseWeights {
  std::string file;
  NamedTensors tensors;
  std::string hash;  ///< BaseHash()
};

/// Reads the weights of a run, a checkpoint or a file, for an adapter's model. Throws
/// std::runtime_error if they do not fit the model, or are an adapter themselves.
BaseWeights ReadBase(const std::string& path, const Adapter& adapter);

/// Reads an adapter folder, or the newest complete checkpoint of a run. Reports damaged checkpoints
/// on standard error. Throws std::runtime_error.
Adapter OpenAdapter(const std::string& path);

/// CheckBase(), whose note goes to standard error.
void CheckBaseOf(const Adapter& adapter, const std::string& where, const BaseWeights& base);

/// Checks the name of a weights file that a command writes, which must not be one of `inputs`.
/// Returns the file to write. Throws UsageError or std::runtime_error.
std::string WeightsOutput(const std::string& path, const std::vector<std::string>& inputs);

}  // namespace fastclip

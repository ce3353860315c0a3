#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace fastclip {

/// Throws UsageError for an option that `app` does not have but that is a config key or an OpenCLIP
/// option: `--accum-freq 4` is train.micro_batches=4 here.
void AdviseOnOptions(const CLI::App& app, int argc, const char* const* argv);

/// Throws UsageError if what stands in CONFIG's place is a key=value, data, or a file of weights.
/// `command`: "fastclip train"; `overrides`: the words behind.
void RefuseOtherThanConfig(const std::string& command, const std::string& path,
                           const std::vector<std::string>& overrides);

}  // namespace fastclip

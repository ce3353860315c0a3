#pragma once

#include <CLI/CLI.hpp>

namespace fastclip {

/// Throws UsageError for an option that `app` does not have but that is a config key or an OpenCLIP
/// option: `--accum-freq 4` is train.micro_batches=4 here.
void AdviseOnOptions(const CLI::App& app, int argc, const char* const* argv);

}  // namespace fastclip

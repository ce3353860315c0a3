#pragma once

namespace fastclip {

/// fastclip train CONFIG.toml [section.key=value …]
int RunTrain(int argc, const char* const* argv);

}  // namespace fastclip

#pragma once

#include <filesystem>

namespace fastclip {

/// The folder of this program's binary, used to find installed files. Empty if the system does not
/// report it. Cached.
const std::filesystem::path& ProgramFolder();

}  // namespace fastclip

#pragma once

#include <filesystem>

namespace fastclip {

/// The folder of this program's binary, by which it finds what is installed with it. Empty where
/// the system does not tell. Asked once.
const std::filesystem::path& ProgramFolder();

}  // namespace fastclip

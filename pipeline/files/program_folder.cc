#include "pipeline/files/program_folder.h"

#include <system_error>

namespace fastclip {

const std::filesystem::path& ProgramFolder() {
  static const std::filesystem::path folder = [] {
    std::error_code error;
    return std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  }();
  return folder;
}

}  // namespace fastclip

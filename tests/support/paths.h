#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace fastclip {

/// The folder of golden files that lies outside the repository: FASTCLIP_GOLDEN, or ../shared from
/// the project's root (tests run there). Empty where it is absent: those cases are then skipped by
/// name.
inline std::filesystem::path SharedFolder() {
  const char* set = std::getenv("FASTCLIP_GOLDEN");
  std::filesystem::path folder = set != nullptr && *set != '\0' ? set : "../shared";
  return std::filesystem::is_directory(folder) ? folder : std::filesystem::path();
}

/// A fresh folder for one test, removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "fastclip-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) std::abort();
    path_ = pattern;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

}  // namespace fastclip

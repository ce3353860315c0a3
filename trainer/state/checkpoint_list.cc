#include "trainer/state/checkpoint_list.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <system_error>
#include <utility>

#include "pipeline/files/atomic_file.h"
#include "trainer/state/checkpoint_names.h"

namespace fastclip {

namespace fs = std::filesystem;

std::optional<ListedCheckpoint> ParseCheckpointName(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  std::string_view rest = name;
  if (!rest.starts_with("step_")) return std::nullopt;
  rest.remove_prefix(5);
  ListedCheckpoint checkpoint{.path = path};
  if (rest.ends_with(kReplacedFolder)) {
    checkpoint.replaced = true;
    rest.remove_suffix(kReplacedFolder.size());
  }
  const auto [end, error] =
      std::from_chars(rest.data(), rest.data() + rest.size(), checkpoint.step);
  if (error != std::errc() || end != rest.data() + rest.size() || rest.starts_with('-')) {
    return std::nullopt;
  }
  return checkpoint;
}

std::vector<ListedCheckpoint> ListCheckpoints(const std::string& run_folder) {
  const fs::path folder = fs::path(run_folder) / kCheckpointFolder;
  std::vector<ListedCheckpoint> all;
  if (!fs::is_directory(folder)) return all;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (auto checkpoint = ParseCheckpointName(entry.path())) all.push_back(std::move(*checkpoint));
  }
  std::ranges::sort(all, [](const ListedCheckpoint& a, const ListedCheckpoint& b) {
    return a.step != b.step ? a.step > b.step : a.replaced < b.replaced;
  });
  return all;
}

}  // namespace fastclip

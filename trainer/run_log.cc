#include "trainer/run_log.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "trainer/file_io.h"

namespace fastclip {

RunLog::RunLog(const std::string& run_folder, std::int64_t keep_bytes, std::int64_t step)
    : metrics_(run_folder + "/metrics.jsonl", keep_bytes),
      board_(run_folder + "/tensorboard", step + 1) {}  // readers keep the event of `step` itself

void RunLog::Write(std::string_view event, std::int64_t step, const Scalars& scalars,
                   const nlohmann::json& extra) {
  nlohmann::json line = {{"event", event}, {"step", step}};
  std::vector<std::string> names;
  for (const auto& [name, value] : scalars) {
    line[name] = value;
    names.push_back(fmt::format("{}/{}", event, name));
  }
  line.update(extra);
  metrics_.Write(line);

  std::vector<TensorboardWriter::Scalar> board;
  for (std::size_t i = 0; i < scalars.size(); ++i) board.emplace_back(names[i], scalars[i].second);
  board_.Write(step, board);
}

nlohmann::json SkipsJson(const SkipCounts& skips) {
  nlohmann::json json = nlohmann::json::object();
  for (int i = 0; i < kSkipCauses; ++i) {
    if (skips[i] > 0) json[SkipName(static_cast<Skip>(i))] = skips[i];
  }
  return json;
}

void LogStart(const std::string& run_folder, const nlohmann::json& start) {
  AppendFile file(run_folder + "/starts.jsonl", AppendFile::Open::kMakeOrContinue);
  file.Append(start.dump() + "\n");
}

}  // namespace fastclip

#include "trainer/log/run_log.h"

#include <fmt/format.h>

#include <exception>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>

#include "trainer/base/file_io.h"

namespace fastclip {

RunLog::RunLog(const std::string& run_folder, std::int64_t keep_bytes, std::int64_t step,
               const std::string& owed)
    : metrics_(run_folder + "/metrics.jsonl", keep_bytes, owed),
      board_(run_folder + "/tensorboard", step + 1) {}  // readers keep the event of `step` itself

bool RunLog::Has(std::string_view event, std::int64_t step) const {
  std::istringstream lines(metrics_.Tail());
  for (std::string text; std::getline(lines, text);) {
    const auto line = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (line.is_object() && line.value("event", "") == event &&
        line.value("step", std::int64_t{-1}) == step) {
      return true;
    }
  }
  return false;
}

void RunLog::Write(std::string_view event, std::int64_t step, const Scalars& scalars,
                   const nlohmann::json& extra, const Board& board,
                   const std::vector<Group>& groups) {
  nlohmann::json line = {{"event", event}, {"step", step}};
  Scalars tags;
  const auto tag = [&](const std::string& group, const std::string& name, double value) {
    tags.emplace_back(fmt::format("{}/{}", group, name), value);
  };
  for (const auto& [name, value] : scalars) {
    line[name] = value;
    tag(board.group, board.prefix + name, value);
  }
  line.update(extra);
  for (const auto& [object, fields] : extra.items()) {
    if (!fields.is_object()) continue;
    for (const auto& [name, value] : fields.items()) {
      tag(board.group, fmt::format("{}{}/{}", board.prefix, object, name), value.get<double>());
    }
  }
  for (const auto& [name, value] : board.more) tag(board.group, name, value);
  for (const Group& group : groups) {
    for (const auto& [name, value] : group.scalars) {
      line[group.name][name] = value;
      tag(group.name, name, value);
    }
  }
  const std::vector<TensorboardWriter::Scalar> named(tags.begin(), tags.end());
  std::exception_ptr failure;
  const auto attempt = [&](const auto& write) {
    try {
      write();
    } catch (const std::exception&) {
      if (!failure) failure = std::current_exception();
    }
  };
  attempt([&] { metrics_.Write(line); });
  attempt([&] { board_.Write(board.at, named); });
  if (failure) std::rethrow_exception(failure);
}

void LogStart(const std::string& run_folder, const nlohmann::json& start) {
  AppendFile file(run_folder + "/starts.jsonl", AppendFile::Open::kMakeOrContinue);
  // The command may hold a path that is not UTF-8.
  file.Append(start.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

}  // namespace fastclip

#include "tools/eval/eval_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace fastclip {

void PrintSubject(const EvalSubject& subject) {
  fmt::print("model     {} ({})\ndevice    {}\n", subject.name(), subject.model().name,
             subject.DescribeDevice());
}

std::string SkippedNote(const std::string& skips) {
  return skips.empty() ? "" : "; skipped: " + skips;
}

std::string DescribeLeftOut(const ClassHits& hits, const ClassNames& names) {
  std::string text = hits.DescribeLeftOut();
  if (const std::string unknown = names.DescribeUnknown(); !unknown.empty()) {
    text += fmt::format(" ({})", unknown);
  }
  return text;
}

nlohmann::ordered_json NamedLeftOut(const ClassHits& hits, const ClassNames& names) {
  nlohmann::ordered_json named = NamedSkips(hits.skips());
  if (hits.out_of_range() > 0) {
    named["label_out_of_range"] = hits.out_of_range();
    named["first_out_of_range"] = {{"record", hits.first_out_of_range()->record},
                                   {"label", hits.first_out_of_range()->label}};
  }
  for (const auto& [name, count] : names.unknown()) named["unknown_classes"][name] = count;
  return named;
}

void AddSubject(nlohmann::ordered_json& json, const EvalSubject& subject,
                const std::string& shards) {
  json["model"] = subject.name();
  json["shards"] = shards;
  json["device"] = subject.device().device;
  json["seconds"] = subject.Seconds();
}

void PrintJson(const nlohmann::ordered_json& json) {
  fmt::print("{}\n", json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

void PrintClassTable(const char* name, const ClassMetrics& metrics, std::int64_t classes) {
  const double chance = 1 / static_cast<double>(classes);
  fmt::print("\n{:<16}{:>8}{:>8}{:>24}\n", "", "top-1", "top-5", "mean per-class recall");
  fmt::print("{:<16}{:>8.4f}{:>8.4f}{:>24.4f}\n", name, metrics.top_1, metrics.top_5,
             metrics.mean_per_class_recall);
  fmt::print("{:<16}{:>8.4f}{:>8.4f}{:>24.4f}\n", "chance", chance, std::min(1.0, 5 * chance),
             chance);
}

}  // namespace fastclip

#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "pipeline/records/class_names.h"
#include "tools/eval/eval_subject.h"
#include "trainer/eval/class_hits.h"
#include "trainer/log/metrics.h"

namespace fastclip {

/// Prints the lines "model" and "device", with which every table begins.
void PrintSubject(const EvalSubject& subject);
/// "; skipped: 3 without a caption"; empty if `skips` is.
std::string SkippedNote(const std::string& skips);
/// What a classification skipped, as text; empty if nothing.
std::string DescribeLeftOut(const ClassHits& hits, const ClassNames& names);
/// "left_out" of a classification: skips, label_out_of_range, the first record of these, and the
/// count of each unknown class name.
nlohmann::ordered_json NamedLeftOut(const ClassHits& hits, const ClassNames& names);
/// "model", "shards", "device" and "seconds", with which every object ends.
void AddSubject(nlohmann::ordered_json& json, const EvalSubject& subject,
                const std::string& shards);
/// One line on standard output.
void PrintJson(const nlohmann::ordered_json& json);
/// The lines "NAME top-1 top-5 per-class" and "chance".
void PrintClassTable(const char* name, const ClassMetrics& metrics, std::int64_t classes);

}  // namespace fastclip

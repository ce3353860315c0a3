#include "trainer/config/resolved_config.h"

#include <fmt/format.h>

#include <filesystem>
#include <sstream>
#include <string>

#include "pipeline/base/printable.h"
#include "pipeline/base/utf8.h"
#include "pipeline/sources/open_source.h"
#include "tokenizer/tokenizer_spec.h"
#include "trainer/base/file_io.h"

namespace fastclip {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kFileLimit = 1 << 20;

void MakeAbsolute(std::string& path) {
  if (!path.empty()) path = fs::absolute(path).lexically_normal();
}

/// The text without the line of `resume`, which does not describe the run.
std::string WithoutResume(const std::string& toml) {
  std::istringstream lines(toml);
  std::string kept;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("resume =")) kept += line + "\n";
  }
  return kept;
}

void KeepEarlier(const std::string& run, const std::string& next) {
  const std::string file = run + "/config.toml";
  if (std::error_code absent; !fs::exists(file, absent)) return;
  const std::string earlier = ReadWholeFile(file, kFileLimit);
  if (WithoutResume(earlier) == WithoutResume(next)) return;
  int number = 1;
  const auto name = [&] { return fmt::format("{}/config.{}.toml", run, number); };
  while (fs::exists(name())) ++number;
  ReplaceFile(name(), earlier);
}

/// TOML is UTF-8, but the folder that a relative path starts from can hold any bytes.
void RequireUtf8(const TrainConfig& resolved) {
  for (const std::string* path :
       {&resolved.run, &resolved.data.train, &resolved.data.val, &resolved.data.manifest,
        &resolved.data.tokenizer, &resolved.model.name, &resolved.model.pretrained,
        &resolved.train.init, &resolved.train.init_estimators, &resolved.eval.zeroshot,
        &resolved.eval.zeroshot_classes, &resolved.eval.zeroshot_templates, &resolved.adapt.classes,
        &resolved.adapt.templates}) {
    if (IsUtf8(*path)) continue;
    throw ConfigError(fmt::format(
        "{}: not UTF-8, but the run's config.toml must be; rename the folder, or use a link",
        Printable(*path)));
  }
}

}  // namespace

TrainConfig ResolvedConfig(const TrainConfig& config) {
  TrainConfig resolved = config;
  MakeAbsolute(resolved.run);
  if (config.model.name.ends_with(".toml")) resolved.model.name = resolved.run + "/model.toml";
  MakeAbsolute(resolved.model.pretrained);
  MakeAbsolute(resolved.train.init);
  MakeAbsolute(resolved.train.init_estimators);
  MakeAbsolute(resolved.data.manifest);
  const std::string folder = fs::current_path();
  resolved.data.train = AbsoluteList(config.data.train, folder);
  resolved.data.val = AbsoluteList(config.data.val, folder);
  resolved.eval.zeroshot = AbsoluteList(config.eval.zeroshot, folder);
  for (std::string* file_or_set :
       {&resolved.eval.zeroshot_classes, &resolved.eval.zeroshot_templates, &resolved.adapt.classes,
        &resolved.adapt.templates}) {
    // A number of classes is no file of that name.
    if (file_or_set->find_first_not_of("0123456789") == std::string::npos) continue;
    if (fs::exists(*file_or_set)) MakeAbsolute(*file_or_set);
  }
  for (std::string& adapter : resolved.adapt.exclude) MakeAbsolute(adapter);
  TokenizerSpec tokenizer = ParseTokenizerSpec(config.data.tokenizer);
  if (!tokenizer.file.empty()) {
    MakeAbsolute(tokenizer.file);
    resolved.data.tokenizer = tokenizer.kind + ":" + tokenizer.file;
  }
  RequireUtf8(resolved);
  return resolved;
}

void WriteResolvedConfig(const TrainConfig& config) {
  TrainConfig resolved = ResolvedConfig(config);
  if (resolved.train.device_is_auto) resolved.train.device = "auto";
  if (resolved.train.threads_are_auto) resolved.train.threads = 0;
  if (config.model.name.ends_with(".toml")) {
    ReplaceFile(resolved.model.name, ReadWholeFile(config.model.name, kFileLimit));
  }
  ConfigTable table;
  BindConfig(resolved, table);
  const std::string text = table.Write();
  KeepEarlier(resolved.run, text);
  ReplaceFile(resolved.run + "/config.toml", text);
}

}  // namespace fastclip

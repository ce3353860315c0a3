#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "pipeline/base/printable.h"
#include "tokenizer/tokenizer.h"
#include "tools/cli/cli.h"
#include "tools/cli/measure.h"

namespace fastclip {
namespace {

constexpr std::size_t kMostCaptions = 1'000'000;

std::vector<std::string> ReadCaptions(const std::string& path) {
  std::ifstream file(path);
  std::vector<std::string> captions;
  for (std::string line; captions.size() < kMostCaptions && std::getline(file, line);) {
    if (!line.empty()) captions.push_back(line);
  }
  if (captions.empty()) {
    throw std::runtime_error(fmt::format("{}: no captions; put one on each line", path));
  }
  return captions;
}

}  // namespace

/// `fastclip bench tokenizer --captions FILE …`: microseconds per caption.
int RunBenchTokenizer(int argc, const char* const* argv) {
  CLI::App app(
      "Measures the microseconds that one thread takes to tokenize a caption.\n"
      "Tokenizes the captions of a file in several passes and keeps the fastest time of each.",
      "fastclip bench tokenizer");
  std::string spec = "clip", path;
  int context = 77, passes = 5;
  bool json = false;
  app.add_option("--captions", path,
                 "text file with one caption per line; the first 1,000,000 are used")
      ->required();
  app.add_option("--tokenizer", spec, kTokenizerHelp)->check(WrongTokenizer)->capture_default_str();
  app.add_option("--context", context, kContextHelp)
      ->check(Between(2, 1 << 20))
      ->capture_default_str();
  app.add_option("--passes", passes, "passes over the file")
      ->check(Between(1, 1000))
      ->capture_default_str();
  app.add_flag("--json", json, kJsonHelp);
  app.footer("example: fastclip bench tokenizer --captions captions.txt --json");
  if (!ParseArguments(app, argc, argv)) return 0;

  const auto tokenizer = OpenTokenizer(spec);
  const std::vector<std::string> captions = ReadCaptions(path);
  std::vector<double> best(captions.size(), 1e9);
  std::vector<TokenId> ids(static_cast<std::size_t>(context));
  double total = 0, bytes = 0;
  for (int pass = 0; pass < passes; ++pass) {
    for (std::size_t i = 0; i < captions.size(); ++i) {
      const double start = SecondsOf(CLOCK_MONOTONIC);
      EncodeContext(*tokenizer, captions[i], ids);
      best[i] = std::min(best[i], SecondsOf(CLOCK_MONOTONIC) - start);
    }
  }
  for (std::size_t i = 0; i < captions.size(); ++i) {
    total += best[i];
    bytes += static_cast<double>(captions[i].size());
  }
  const nlohmann::ordered_json result{
      {"tokenizer", spec},
      {"captions", captions.size()},
      {"bytes_per_caption", bytes / static_cast<double>(captions.size())},
      {"median_us", 1e6 * Quantile(best, 0.5)},
      {"p95_us", 1e6 * Quantile(best, 0.95)},
      {"mean_us", 1e6 * total / static_cast<double>(captions.size())},
      {"mb_per_second", 1e-6 * bytes / total}};
  if (json) {
    fmt::print("{}\n", result.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  } else {
    fmt::print(
        "{}: {} of {:.0f} bytes on average: median {:.2f} us, p95 {:.2f} us, mean {:.2f} us, "
        "{:.0f} MB/s\n",
        spec, Counted(std::ssize(captions), "caption"), result["bytes_per_caption"].get<double>(),
        result["median_us"].get<double>(), result["p95_us"].get<double>(),
        result["mean_us"].get<double>(), result["mb_per_second"].get<double>());
  }
  return 0;
}

}  // namespace fastclip

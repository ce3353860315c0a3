#include "tools/train/config_words.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>
#include <string_view>
#include <vector>

#include "tools/cli/usage_error.h"
#include "trainer/config/key_advice.h"

namespace fastclip {

void AdviseOnOptions(const CLI::App& app, int argc, const char* const* argv) {
  std::vector<std::string> unknown, advised;  // options; each with its advice
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--") break;
    if (!word.starts_with("--")) continue;
    const std::string option(word.substr(0, word.find('=')));
    if (app.get_option_no_throw(option) != nullptr) continue;
    if (const std::string advice = AdviceOn(option); !advice.empty()) {
      unknown.push_back(option);
      advised.push_back(fmt::format("{}; {}", option, advice));
    }
  }
  if (unknown.empty()) return;
  constexpr const char* kForm = "keys are set as section.key=value";
  if (unknown.size() == 1) {
    throw UsageError(fmt::format("unknown option {}; {}; {}", unknown.front(), kForm,
                                 AdviceOn(unknown.front())));
  }
  throw UsageError(fmt::format("unknown options; {}\n  {}", kForm, fmt::join(advised, "\n  ")));
}

}  // namespace fastclip

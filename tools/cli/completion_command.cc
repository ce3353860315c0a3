#include <fmt/format.h>

#include <string>
#include <string_view>

#include "tools/cli/cli.h"
#include "tools/cli/completion_scripts.h"
#include "tools/cli/usage_error.h"

namespace fastclip {

/// `fastclip completion SHELL`: the script that teaches a shell this program's words.
int RunCompletion(int argc, const char* const* argv) {
  CLI::App app(
      "Prints a script that completes commands, options, config keys and their values in a shell.\n"
      "  bash   source <(fastclip completion bash)          in ~/.bashrc\n"
      "  zsh    source <(fastclip completion zsh)           in ~/.zshrc\n"
      "  fish   fastclip completion fish | source           in ~/.config/fish/config.fish",
      "fastclip completion");
  std::string shell;
  app.add_option("SHELL", shell, "bash, zsh or fish")->required();
  app.footer("example: source <(fastclip completion bash)");
  if (!ParseArguments(app, argc, argv)) return 0;
  if (shell == "bash") {
    fmt::print("{}", kBashCompletion);
  } else if (shell == "zsh") {
    fmt::print("{}", kZshCompletion);
  } else if (shell == "fish") {
    fmt::print("{}", kFishCompletion);
  } else {
    throw UsageError(fmt::format("unknown shell '{}'; use bash, zsh or fish", shell));
  }
  return 0;
}

}  // namespace fastclip

#include <fmt/format.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <iostream>
#include <new>
#include <string>
#include <string_view>

#include "pipeline/printable.h"
#include "tools/command.h"
#include "tools/usage_error.h"

namespace fastclip {
namespace {

const Command* Find(std::string_view name) {
  for (const auto table : {DataCommands(), TrainerCommands()}) {
    for (const Command& command : table) {
      if (command.name == name) return &command;
    }
  }
  return nullptr;
}

void PrintHelp() {
  fmt::print(
      "fastclip – train CLIP models on web-scale tar shards\n\n"
      "usage: fastclip COMMAND [ARGUMENTS]        fastclip COMMAND --help tells "
      "more\n\ncommands:\n");
  for (const auto table : {TrainerCommands(), DataCommands()}) {
    for (const Command& command : table) fmt::print("  {:<11} {}\n", command.name, command.summary);
  }
  fmt::print(
      "\nexample: fastclip train configs/quickstart.toml data.train='shards/{{00000..00099}}.tar'\n"
      "exit code: 0 done, 1 failed, 2 wrong use\n");
}

/// A mix of sources keeps some hundred files open for each, and 1024 is a usual soft limit.
void AllowAllFiles() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);  // else the usual limit stays
  }
}

int Dispatch(int argc, const char* const* argv) {
  if (argc < 2) {
    PrintHelp();
    return 2;
  }
  const std::string_view name = argv[1];
  if (name == "--help" || name == "-h" || name == "help") {
    PrintHelp();
    return 0;
  }
  if (name == "--version") {
    fmt::print("fastclip {}\n", FASTCLIP_VERSION);
    return 0;
  }
  const Command* command = Find(name);
  if (command == nullptr) {
    fmt::print(stderr, "fastclip: there is no command '{}'; fastclip --help lists them\n", name);
    return 2;
  }
  AllowAllFiles();
  try {
    return command->run(argc - 1, argv + 1);
  } catch (const UsageError& error) {
    fmt::print(stderr, "fastclip {}: {}\n", name, PrintableLines(error.what()));
    return 2;
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "fastclip {}: this machine's memory is used up; {}\n", name,
               "a smaller batch, smaller pictures or fewer threads need less");
    return 1;
  } catch (const std::exception& error) {
    fmt::print(stderr, "fastclip {}: {}\n", name, PrintableLines(error.what()));
    return 1;
  }
}

/// A full disk shows only when the output's last bytes are written.
int Main(int argc, const char* const* argv) {
  const int code = Dispatch(argc, argv);
  errno = 0;
  std::cout.flush();
  if (code != 0 || (std::fflush(stdout) == 0 && std::ferror(stdout) == 0)) return code;
  fmt::print(stderr, "fastclip: standard output cannot be written{}\n",
             errno != 0 ? std::string(": ") + std::strerror(errno) : "");
  return 1;
}

}  // namespace
}  // namespace fastclip

int main(int argc, char** argv) { return fastclip::Main(argc, argv); }

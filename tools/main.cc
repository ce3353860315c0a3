#include <fastclip_commit.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <iostream>
#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "pipeline/base/nearest.h"
#include "pipeline/base/printable.h"
#include "pipeline/base/suggested_command.h"
#include "pipeline/sources/table_layout.h"
#include "tools/cli/tell.h"
#include "tools/cli/usage_error.h"
#include "tools/commands.h"
#ifdef FASTCLIP_HAS_TORCH
#include "tools/torch_guard.h"
#include "trainer/base/versions.h"
#endif

namespace fastclip {
namespace {

#ifndef FASTCLIP_HAS_TORCH
int RunGuarded(const Command& command, int argc, const char* const* argv) {
  return command.run(argc, argv);
}
#endif

void PrintHelp() {
  fmt::print(
      "fastclip – train CLIP models on web-scale tar shards\n\n"
      "usage: {0} COMMAND [ARGUMENTS]\n       {0} COMMAND --help\n\ncommands:\n{1}"
      "\nexample: {0} train configs/quickstart.toml run=runs/mine train.epochs=30\n"
      "exit code: 0 success, 1 failure, 2 wrong arguments or config, 75 another rank failed,\n"
      "           128 + signal number if train was stopped and saved\n",
      ProgramTyped(), ListCommands(Commands()));
}

void PrintVersion() {
  fmt::print("fastclip {}\ncommit {}\n", FASTCLIP_VERSION, FASTCLIP_COMMIT);
#ifdef FASTCLIP_HAS_TORCH
  fmt::print("LibTorch {}\n", Versions().at("torch"));
#else
  fmt::print("without LibTorch: data tools only\n");
#endif
#ifdef FASTCLIP_HAS_CUDA
  fmt::print("CUDA {} (train.device = \"cuda\")\n", FASTCLIP_HAS_CUDA);
#endif
#ifdef __clang__
  fmt::print("compiler {}\n", __VERSION__);
#else
  fmt::print("compiler GCC {}\n", __VERSION__);
#endif
}

/// A file that is opened later must not get the number of a descriptor that is closed now: messages
/// would be written into it.
void OpenStandardDescriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
    // The lowest free number, this one. Results that nobody can get stay an error: not for writing.
    [[maybe_unused]] const int same = open("/dev/null", fd == STDOUT_FILENO ? O_RDONLY : O_RDWR);
  }
}

/// A reader that went away, and a file that may not grow, are errors of the write; neither kills.
void IgnoreSignalsOfWrites() {
  for (const int number : {SIGPIPE, SIGXFSZ}) signal(number, SIG_IGN);
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
  if (std::string_view(argv[1]) == "help" && argc > 2) {  // "help train" is "train --help"
    std::vector<const char*> words(argv + 1, argv + argc);
    words.front() = argv[0];
    words.push_back("--help");
    return Dispatch(static_cast<int>(words.size()), words.data());
  }
  const std::string_view name = argv[1];
  if (name == "--help" || name == "-h" || name == "help") {
    PrintHelp();
    return 0;
  }
  if (name == "--version") {
    PrintVersion();
    return 0;
  }
  try {
    const Command* command = FindCommand(Commands(), name);
    if (command == nullptr) {
      std::string near = CommandOfVerb(name);
      if (near.empty()) near = NearCommand(Commands(), name);
      const std::string option = Nearest(std::string(name), {"--help", "--version"}, 3);
      if (near.empty() && !option.empty()) near = DidYouMean(option) + " ";
      TellError("fastclip: unknown command '{}'; {}{} --help lists the commands\n", name, near,
                ProgramTyped());
      return 2;
    }
    return RunGuarded(*command, argc - 1, argv + 1);
  } catch (const UsageError& error) {
    TellError("fastclip {}: {}\n", name, PrintableLines(error.what()));
    return 2;
  } catch (const WrongColumn& error) {
    TellError("fastclip {}: {}\n", name, PrintableLines(error.what()));
    return 2;
  } catch (const std::bad_alloc&) {
    TellError("fastclip {}: out of memory; use a smaller batch, smaller images or fewer threads\n",
              name);
    return 1;
  } catch (const std::exception& error) {
    if (std::ferror(stdout) != 0) throw;
    TellError("fastclip {}: {}\n", name, PrintableLines(error.what()));
    return 1;
  }
}

/// What came of the results, given the cause why they could not be written. As with other tools, a
/// reader that has enough (`| head`) ends the program without a word.
int OutputFailed(const std::string& cause, bool reader_left) {
  if (reader_left) return 128 + SIGPIPE;
  TellError("fastclip: standard output cannot be written{}\n", cause.empty() ? "" : ": " + cause);
  return 1;
}

/// A full disk may show only when the output's last bytes are written.
int Main(int argc, const char* const* argv) {
  OpenStandardDescriptors();
  IgnoreSignalsOfWrites();
  AllowAllFiles();
  if (argc > 0) SetProgramTyped(argv[0]);
  try {
    const int code = Dispatch(argc, argv);
    errno = 0;
    std::cout.flush();
    if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return code;
    const int cause = errno;
    return OutputFailed(cause == 0 ? "" : std::strerror(cause), cause == EPIPE);
  } catch (const std::system_error& error) {  // of fmt::print
    return OutputFailed(error.code().message(), error.code() == std::errc::broken_pipe);
  } catch (const std::exception& error) {
    return OutputFailed(error.what(), false);
  }
}

}  // namespace
}  // namespace fastclip

int main(int argc, char** argv) { return fastclip::Main(argc, argv); }

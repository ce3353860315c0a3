#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <string>

#include "tests/support/paths.h"
#include "tests/support/peers.h"
#include "trainer/log/tensorboard.h"

namespace fastclip {
namespace {

constexpr const char* kReadBack = R"(
import logging, sys
logging.disable(logging.CRITICAL)
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1])
events.Reload()
for tag in sorted(events.Tags()["scalars"]):
    print(tag, *(f"{e.step}:{e.value:g}" for e in events.Scalars(tag)))
)";

std::string OutputOf(const std::string& command) {
  std::string output;
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return output;
  for (int c = 0; (c = fgetc(pipe)) != EOF;) output.push_back(static_cast<char>(c));
  pclose(pipe);
  return output;
}

TEST(TensorboardPeer, ReadsScalarsAndDropsWhatARestartRepeats) {
  const std::string python = PeersPython();
  if (python.empty()) GTEST_SKIP() << "no peers' environment: tools/peers.sh makes it";
  const TemporaryFolder folder;
  const auto write = [&](int first, int last, double value) {
    TensorboardWriter writer(folder.path(), first);
    for (int step = first; step <= last; ++step) {
      const std::array<TensorboardWriter::Scalar, 2> scalars = {{{"loss", value}, {"u/τ", step}}};
      writer.Write(step, scalars);
    }
  };
  write(1, 5, 0.5);
  write(4, 6, 0.25);  // resumed after step 3
  EXPECT_EQ(OutputOf(python + " -c '" + kReadBack + "' " + folder.path().string()),
            "loss 1:0.5 2:0.5 3:0.5 4:0.25 5:0.25 6:0.25\n"
            "u/τ 1:1 2:2 3:3 4:4 5:5 6:6\n");
}

}  // namespace
}  // namespace fastclip

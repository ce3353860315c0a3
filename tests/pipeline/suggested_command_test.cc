#include "pipeline/base/suggested_command.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace fastclip {
namespace {

/// The program has one name per process: each test gives back the usual one.
class Suggested : public testing::Test {
 protected:
  ~Suggested() override { SetProgramTyped("fastclip"); }
};

TEST_F(Suggested, CommandsHaveTheProgramAsItWasTyped) {
  SetProgramTyped("fastclip");  // found by PATH
  EXPECT_EQ(SuggestedCommand("shards lint"), "fastclip shards lint");
  SetProgramTyped("build/fastclip");
  EXPECT_EQ(SuggestedCommand("shards lint"), "build/fastclip shards lint");
  SetProgramTyped("/my tools/fastclip");
  EXPECT_EQ(SuggestedCommand("shards lint"), "'/my tools/fastclip' shards lint");
  EXPECT_EQ(ProgramName(), "/my tools/fastclip");
}

TEST_F(Suggested, HelpHasItBeforeEachCommandAndNowhereElse) {
  SetProgramTyped("build/fastclip");
  EXPECT_EQ(
      WithProgramTyped("fastclip train\n`fastclip config keys` (fastclip --help) | fastclip X"),
      "build/fastclip train\n`build/fastclip config keys` (build/fastclip --help) | "
      "build/fastclip X");
  const char* const other =
      "fastclip – train; SHARD.tar.fastclip is; my/fastclip train; fastclip: no";
  EXPECT_EQ(WithProgramTyped(other), other);
}

TEST(ShellWords, AreQuotedWhereAShellWouldReadThemOtherwise) {
  const std::map<std::string, std::string> words = {{"runs/mine_1.0,b=c", "runs/mine_1.0,b=c"},
                                                    {"a b", "'a b'"},
                                                    {"{0..9}.tar", "'{0..9}.tar'"},
                                                    {"it's", "'it'\\''s'"},
                                                    {"", "''"}};
  for (const auto& [word, for_shell] : words) EXPECT_EQ(ShellWord(word), for_shell);
}

}  // namespace
}  // namespace fastclip

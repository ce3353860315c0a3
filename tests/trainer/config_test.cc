#include "trainer/config.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/support/paths.h"

namespace fastclip {
namespace {

std::string MessageOf(const std::function<void()>& act) {
  try {
    act();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "nothing was thrown";
}

class ConfigFile : public testing::Test {
 protected:
  std::string Write(const std::string& toml) {
    const std::string path = folder_ / "run.toml";
    std::ofstream(path) << "run = \"r\"\n" << toml << "\n[data]\ntrain = \"synthetic:100\"\n";
    return path;
  }
  std::string ErrorOf(const std::string& toml, const std::vector<std::string>& words = {}) {
    const std::string path = Write(toml);
    return MessageOf([&] { LoadedConfig config(path, words); });
  }

  TemporaryFolder folder_;
};

constexpr const char* kMode = "[objective]\nmode = \"exact\"\n";

TEST_F(ConfigFile, AnUnknownKeyNamesFileLineAndTheNearestKey) {
  const std::string error = ErrorOf(std::string(kMode) + "[learning_rate]\nwarmupp = 5");
  EXPECT_NE(error.find("run.toml:5"), std::string::npos) << error;
  EXPECT_NE(error.find("'learning_rate.warmup'"), std::string::npos) << error;
}

TEST_F(ConfigFile, AnImpossibleValueSaysWhatIsPossible) {
  const std::string error = ErrorOf(std::string(kMode) + "[train]\nepochs = 0");
  EXPECT_NE(error.find("run.toml:5: train.epochs must be a whole number from 1"), std::string::npos)
      << error;
  EXPECT_NE(ErrorOf(kMode, {"train.epochs=many"}).find("the command line"), std::string::npos);
  EXPECT_NE(ErrorOf(std::string(kMode) + "[gamma]\nmin = nan").find("gamma.min"), std::string::npos);
  EXPECT_NE(ErrorOf(std::string(kMode) + "[train]\nbatch_size = \"big\"").find("train.batch_size"),
            std::string::npos);
}

TEST_F(ConfigFile, BrokenTomlNamesTheLine) {
  EXPECT_NE(ErrorOf("resume = tru").find("run.toml:2"), std::string::npos);
}

TEST_F(ConfigFile, TheObjectivesModeHasNoDefault) {
  EXPECT_NE(ErrorOf("").find("objective.mode has no default"), std::string::npos);
}

TEST_F(ConfigFile, PairsThatCannotBeAreRefused) {
  EXPECT_NE(ErrorOf(std::string(kMode) + "[pipeline]\nscale_min = 0.9\nscale_max = 0.5")
                .find("pipeline.scale_min"),
            std::string::npos);
  EXPECT_NE(ErrorOf(std::string(kMode) + "[train]\nbatch_size = 10\nmicro_batches = 4")
                .find("train.micro_batches"),
            std::string::npos);
}

TEST_F(ConfigFile, WordsOfTheCommandLineWinAndMayBeBareText) {
  const std::string path = Write(kMode);
  LoadedConfig config(path, {"data.train=shards/{00000..00003}.tar", "resume=true", "gamma.min=1"});
  EXPECT_EQ(config->data.train, "shards/{00000..00003}.tar");
  EXPECT_TRUE(config->resume);
  EXPECT_EQ(config->gamma.min, 1.0);
}

TEST_F(ConfigFile, WhatIsWrittenReadsBackTheSame) {
  const std::string path = Write(kMode);
  LoadedConfig config(path, {"learning_rate.lr=0.1", "optimizer.eps=1e-09", "run=a \"b\"\\c"});
  const std::string text = config.table().Write();
  TrainConfig read;
  ConfigTable table;
  BindConfig(read, table);
  table.ReadText(text, "written");
  EXPECT_EQ(table.Write(), text);
  EXPECT_EQ(read.run, "a \"b\"\\c");
  EXPECT_EQ(read.learning_rate.lr, 0.1);
}

TEST(QuickstartConfig, ExplainsEveryKeyAndIsValid) {
  const std::string path = "configs/quickstart.toml";
  LoadedConfig config(path, {});
  for (const std::string& key : config.table().keys()) {
    EXPECT_NE(config.table().Origin(key), "the default") << key << " is not in " << path;
  }
}

TEST_F(ConfigFile, AFolderInItsPlaceIsNamedAsOne) {
  const std::string folder = folder_.path();
  EXPECT_EQ(MessageOf([&] { LoadedConfig config(folder, {}); }),
            folder + ": is a folder; name a config in it, as in " + folder + "/config.toml");
}

TEST_F(ConfigFile, ATokenizerOfNoKnownKindIsRefused) {
  EXPECT_NE(ErrorOf(kMode, {"data.tokenizer=bert"}).find("data.tokenizer: tokenizer 'bert'"),
            std::string::npos);
}

}  // namespace
}  // namespace fastclip

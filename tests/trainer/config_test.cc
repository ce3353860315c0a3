#include "trainer/config/config.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "pipeline/loader/compute_pool.h"
#include "tests/support/paths.h"
#include "trainer/base/file_io.h"
#include "trainer/config/config_changes.h"
#include "trainer/config/config_keys.h"
#include "trainer/config/core_share.h"
#include "trainer/config/explained_config.h"
#include "trainer/config/idle_keys.h"
#include "trainer/config/resolved_config.h"
#include "trainer/run/start_check.h"

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
  EXPECT_NE(error.find("unknown key learning_rate.warmupp; did you mean learning_rate.warmup?"),
            std::string::npos)
      << error;
}

TEST_F(ConfigFile, ThatCannotBeOneIsRefusedAtOnce) {
  std::string deep = "a";
  for (int i = 0; i < 100'000; ++i) deep += ".a";
  EXPECT_NE(ErrorOf("\n[" + deep + "]\nb = 1").find(": a key with more than 64 parts"),
            std::string::npos);
  EXPECT_NE(ErrorOf(deep + " = 1").find(": a key with more than 64 parts"), std::string::npos);
  EXPECT_NE(ErrorOf(std::string(2 << 20, '#')).find("the limit is 1048576"), std::string::npos);
  ASSERT_EQ(mkfifo((folder_ / "pipe.toml").c_str(), 0600), 0);
  EXPECT_NE(MessageOf([&] {
              LoadedConfig config(folder_ / "pipe.toml", {});
            }).find("is not a regular file"),
            std::string::npos);
}

TEST_F(ConfigFile, AnImpossibleValueSaysWhatIsPossible) {
  const std::string error = ErrorOf(std::string(kMode) + "[train]\nepochs = 0");
  EXPECT_NE(error.find("run.toml:5: train.epochs must be an integer from 1"), std::string::npos)
      << error;
  EXPECT_NE(ErrorOf(kMode, {"train.epochs=many"}).find("the command line"), std::string::npos);
  EXPECT_NE(ErrorOf(std::string(kMode) + "[gamma]\nmin = nan").find("gamma.min"),
            std::string::npos);
  EXPECT_NE(ErrorOf(std::string(kMode) + "[train]\nbatch_size = \"big\"").find("train.batch_size"),
            std::string::npos);
}

TEST_F(ConfigFile, BrokenTomlNamesTheLine) {
  EXPECT_NE(ErrorOf("resume = tru").find("run.toml:2"), std::string::npos);
  EXPECT_NE(ErrorOf("resume = runs/a").find("; text needs quotes"), std::string::npos)
      << ErrorOf("resume = runs/a");
}

TEST_F(ConfigFile, AllWrongKeysAreToldAtOnceInTheOrderOfTheFile) {
  const std::string error =
      ErrorOf(std::string(kMode) + "[train]\nbatch_size = \"big\"\n[learning_rate]\nwarmupp = 5",
              {"train.epochs=x"});
  EXPECT_EQ(error.find("3 errors:\n  "), 0u) << error;
  const std::size_t first = error.find("train.batch_size must be an integer");
  const std::size_t second = error.find("unknown key learning_rate.warmupp; did you mean");
  const std::size_t third = error.find("the command line: train.epochs must be an integer");
  EXPECT_LT(first, second) << error;
  EXPECT_LT(second, third) << error;
  EXPECT_NE(third, std::string::npos) << error;
}

TEST_F(ConfigFile, OneValueInPlaceOfAListIsShownAsAList) {
  for (const auto& [word, list] :
       {std::pair{"data.captions=json.txt", R"(; write data.captions='["json.txt"]')"},
        {"data.captions=[json.txt,txt]", R"(; write data.captions='["json.txt", "txt"]')"},
        {"pipeline.formats=gif", R"(; write pipeline.formats='["gif"]')"},
        {"data.weights=0.3,0.7", "; write data.weights='[0.3, 0.7]'"},
        {"data.counts=5", "; write data.counts='[5]'"}}) {
    const std::string error = ErrorOf(kMode, {word});
    EXPECT_NE(error.find(list), std::string::npos) << error;
  }
  EXPECT_EQ(ErrorOf(kMode, {"data.weights=a"}).find("; write"), std::string::npos);
  const std::string in_file = ErrorOf(std::string(kMode) + "[pipeline]\nformats = \"gif\"");
  EXPECT_NE(in_file.find("; write formats = [\"gif\"]"), std::string::npos) << in_file;
}

TEST_F(ConfigFile, ACheckpointInItsPlaceIsNamedAsOne) {
  const std::string folder = folder_ / "step_20";
  std::filesystem::create_directory(folder);
  std::ofstream(folder + "/checkpoint.json") << "{}";
  const std::string error = MessageOf([&] { LoadedConfig config(folder, {"resume=true"}); });
  EXPECT_NE(error.find("is a checkpoint, not a run"), std::string::npos) << error;
  EXPECT_NE(error.find("train.init=" + folder), std::string::npos) << error;
}

TEST_F(ConfigFile, TheObjectivesModeHasNoDefault) {
  EXPECT_NE(ErrorOf("").find("objective.mode has no default"), std::string::npos);
  // Labels have no objective.
  EXPECT_EQ(ErrorOf("[adapt]\ntask = \"classify\"\nclasses = \"10\"\n").find("objective.mode"),
            std::string::npos);
}

TEST_F(ConfigFile, PairsThatCannotBeAreRefused) {
  EXPECT_NE(ErrorOf(std::string(kMode) + "[pipeline]\nscale_min = 0.9\nscale_max = 0.5")
                .find("pipeline.scale_min"),
            std::string::npos);
  EXPECT_NE(ErrorOf(std::string(kMode) + "[train]\nbatch_size = 10\nmicro_batches = 4")
                .find("train.micro_batches"),
            std::string::npos);
}

TEST_F(ConfigFile, AnObjectiveRefusesATemperatureOrGammaThatIsNotItsOwn) {
  const auto error = [&](const std::string& name, std::vector<std::string> words) {
    words.push_back("objective.name=" + name);
    return ErrorOf(kMode, words);
  };
  const auto names = [](const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
  };
  for (const char* name : {"sogclr", "fastclip_v1"}) {
    const std::string text = error(name, {"temperature.lr=0.001", "gamma.schedule=constant"});
    EXPECT_TRUE(names(text, "temperature.lr") && names(text, "constant")) << text;
  }
  for (const char* name : {"isogclr", "fastclip_v2"}) {
    const std::string text = error(name, {"gamma.schedule=constant"});
    EXPECT_TRUE(names(text, "temperature.schedule = \"const\"")) << text;
    EXPECT_EQ(error(name, {"gamma.schedule=constant", "temperature.schedule=const"}),
              "nothing was thrown");
  }
  EXPECT_TRUE(names(error("sogclr", {}), "fastclip_v1"));
  EXPECT_TRUE(names(error("isogclr", {"temperature.schedule=const"}), "fastclip_v2"));
  EXPECT_TRUE(names(error("fastclip", {}), "siglip"));
}

TEST_F(ConfigFile, RulesThatContradictEachOtherAreRefusedByName) {
  const auto refused = [&](const std::vector<std::string>& words, const char* what) {
    const std::string error = ErrorOf(kMode, words);
    EXPECT_NE(error.find(what), std::string::npos) << error;
  };
  refused({"optimizer.name=lamb", "train.precision=amp", "train.micro_batches=2"}, "amp_bf16");
  refused({"optimizer.name=adam"}, "\"adamw\", \"lamb\", \"lion\", \"sgdm\"");
  refused({"optimizer.nesterov=true"}, "needs optimizer.name = \"sgdm\", not");
  refused({"optimizer.name=sgdm", "optimizer.nesterov=true", "optimizer.momentum=0"},
          "optimizer.nesterov = true needs optimizer.momentum > 0");
  refused({"learning_rate.schedule=const-cooldown"},
          "learning_rate.cooldown_epochs = 0 must be >= 1 for const-cooldown");
  refused({"gamma.start=0.1", "gamma.min=0.5"}, "set gamma.start higher, or gamma.min lower");
  const std::string advised = ErrorOf(kMode, {"gamma.schedule=advice", "gamma.start=0.1"});
  EXPECT_TRUE(advised.ends_with("set gamma.start higher")) << advised;  // it sets gamma.min itself
  refused({"learning_rate.schedule=const-cooldown", "learning_rate.cooldown_epochs=4",
           "train.epochs=3"},
          "learning_rate.cooldown_epochs: 4 is more than train.epochs = 3");
  refused({"learning_rate.cooldown_end=0.1"}, "is more than learning_rate.lr");
  refused({"learning_rate.lr_min=1e-4", "temperature.lr=1e-5"}, "is more than temperature.lr");
  refused({"gamma.schedule=advice", "gamma.decay_epochs=3"}, "gamma.decay_epochs is 3");
}

TEST_F(ConfigFile, ATemperatureThatIsNotLearnedNeedsNoRate) {
  const std::string path = Write(kMode);
  EXPECT_NO_THROW(LoadedConfig(
      path, {"objective.name=fastclip_v1", "temperature.lr=0", "learning_rate.lr_min=1e-4"}));
}

TEST_F(ConfigFile, AdviceFillsInTheSmallestGammaAndReadsBack) {
  const std::string path = Write(kMode);
  LoadedConfig config(path, {"gamma.schedule=advice", "gamma.min=0.9", "train.epochs=30"});
  EXPECT_NEAR(config->gamma.min, 0.353, 5e-4);
  const std::string written = path + ".resolved";
  std::ofstream(written) << config.table().Write();
  LoadedConfig again(written, {"train.epochs=37"});
  EXPECT_NEAR(again->gamma.min, 0.303, 5e-4);
}

TEST_F(ConfigFile, WordsOfTheCommandLineWinAndMayBeBareText) {
  const std::string path = Write(kMode);
  LoadedConfig config(path, {"data.train=shards/{00000..00003}.tar", "resume=true", "gamma.min=1"});
  EXPECT_EQ(config->data.train, "shards/{00000..00003}.tar");
  EXPECT_TRUE(config->resume);
  EXPECT_EQ(config->gamma.min, 1.0);
}

TEST_F(ConfigFile, KeysOfAGpuHaveNoEffectOnTheCpuOrAreRefused) {
  const std::string path = Write(kMode);
  const LoadedConfig config(path, {"train.device=cpu", "train.tf32=false",
                                   "train.cudnn_benchmark=false", "train.state=device"});
  EXPECT_EQ(KeysWithoutEffect(*config),
            std::vector<std::string>{"train.state, train.tf32, train.cudnn_benchmark have no "
                                     "effect with train.device = cpu"});
  EXPECT_NO_THROW(LoadedConfig(path, {"train.attention=math"}));
  EXPECT_NO_THROW(LoadedConfig(path, {"train.attention=cudnn", "train.device=cuda"}));
  EXPECT_THROW(LoadedConfig(path, {"train.attention=cudnn", "train.device=cpu"}), ConfigError);
  EXPECT_THROW(LoadedConfig(path, {"train.attention=xformers"}), ConfigError);
}

TEST_F(ConfigFile, RecordedStepsNeedAGpuUnlessTheDeviceWasLeftToTheHost) {
  const std::string path = Write(kMode);
  const std::string on = "train.cuda_graphs=true", whole = "model.trim_text=false";
  const auto host = [](const char* device) {
    return HostOfRun{.choose_device = [device] { return DeviceChoice{device, "of this test"}; }};
  };
  EXPECT_THROW(LoadedConfig(path, {on, whole, "train.device=cpu"}), ConfigError);
  EXPECT_EQ(KeysWithoutEffect(*LoadedConfig(path, {on}, host("cpu"))),
            std::vector<std::string>{"train.cuda_graphs has no effect with train.device = cpu"});
  const LoadedConfig config(path, {on, whole}, host("cuda"));
  EXPECT_TRUE(KeysWithoutEffect(*config).empty());
  EXPECT_THROW(LoadedConfig(path, {on}, host("cuda")), ConfigError) << "captions are trimmed";
  EXPECT_THROW(LoadedConfig(path, {on, whole, "model.patch_dropout=0.5"}, host("cuda")),
               ConfigError);
  EXPECT_THROW(LoadedConfig(path, {on, whole, "train.state=host"}, host("cuda")), ConfigError);
}

TEST_F(ConfigFile, SettingsThatOnlyAGpuCanProveAreNamedUntilOneHas) {
  const std::string path = Write(kMode);
  const auto unproved = [&](const std::vector<std::string>& words, bool on_gpu) {
    return UnprovedKeys(*LoadedConfig(path, words), on_gpu);
  };
  const std::string said = " is not yet proved on a GPU";
  const std::vector<std::string> graphs = {"train.cuda_graphs=true", "model.trim_text=false"};
  EXPECT_EQ(unproved(graphs, true), std::vector{"train.cuda_graphs = true" + said});
  for (const char* kernel : {"flash", "mem_efficient", "cudnn", "math"}) {
    EXPECT_EQ(unproved({std::string("train.attention=") + kernel}, true),
              std::vector{std::string("train.attention = \"") + kernel + '"' + said});
  }
  EXPECT_TRUE(unproved({}, true).empty());
  EXPECT_TRUE(unproved({"train.device=cpu", "train.attention=flash"}, false).empty());
}

TEST_F(ConfigFile, APathThatTheShellExpandedIsRefused) {
  EXPECT_NE(ErrorOf(kMode, {"data.train=s/00.tar", "train.epochs=1", "data.train=s/01.tar"})
                .find("data.train is set 2 times, to s/00.tar and others: the shell has expanded"),
            std::string::npos);
  // A script that adds keys to those it was given means the last.
  const std::string path = Write(kMode);
  EXPECT_EQ(LoadedConfig(path, {"train.epochs=1", "train.epochs=2"})->train.epochs, 2);
  EXPECT_EQ(LoadedConfig(path, {"data.train=s/a.tar", "data.train=s/b.tar"})->data.train,
            "s/b.tar");
}

TEST_F(ConfigFile, WhatAStartRemarksOnItsSettingsHasOneList) {
  const std::string path = Write(kMode);
  const LoadedConfig config(path, {"train.device=cpu", "train.tf32=false", "train.precision=amp",
                                   "train.attention=math"});
  const auto kinds = [&](bool on_gpu) {
    std::vector<std::string> kinds;
    for (const Remark& remark : RemarksOn(config, on_gpu)) {
      kinds.push_back(remark.kind + (": " + remark.text.substr(0, remark.text.find(' '))));
    }
    return kinds;
  };
  EXPECT_EQ(kinds(false),
            (std::vector<std::string>{"note: train.tf32", "warning: train.precision"}));
  EXPECT_EQ(kinds(true), std::vector<std::string>{"note: train.attention"});
}

TEST_F(ConfigFile, KeysOfTheTowersHaveNoEffectWithoutWhatTheyNeed) {
  const std::string path = Write(kMode);
  const std::vector<std::string> words = {"train.residual=half", "train.length_groups=3"};
  EXPECT_EQ(KeysWithoutEffect(*LoadedConfig(path, words)),
            std::vector<std::string>{"train.residual has no effect with train.precision = fp32"});
  EXPECT_EQ(
      KeysWithoutEffect(*LoadedConfig(
          path, {"train.precision=amp_bf16", words[0], words[1], "model.trim_text=false"})),
      std::vector<std::string>{"train.length_groups has no effect with model.trim_text = false"});
  EXPECT_THROW(LoadedConfig(path, {"train.length_groups=33"}), ConfigError);
  EXPECT_THROW(LoadedConfig(path, {"train.residual=bf16"}), ConfigError);
}

TEST_F(ConfigFile, AutoIsDecidedByTheHostAndKeptInTheRunFolder) {
  const std::string path = Write(kMode);
  EXPECT_EQ(LoadedConfig(path, {})->train.device, "auto");
  const auto host = [](const char* device) {
    return HostOfRun{.choose_device = [device] { return DeviceChoice{device, "of this test"}; }};
  };
  const LoadedConfig config(path, {"run=" + (folder_ / "run")}, host("cuda"));
  EXPECT_EQ(config->train.device, "cuda");
  EXPECT_EQ(config.device_choice().why, "of this test");
  EXPECT_EQ(ValuesOf(ResolvedConfig(*config)).at("train.device"), "'cuda'")
      << "a checkpoint says what was used";
  std::filesystem::create_directories(folder_ / "run");
  WriteResolvedConfig(*config);
  EXPECT_EQ(LoadedConfig(folder_ / "run", {}, host("cpu"))->train.device, "cpu");
  const LoadedConfig given(path, {"train.device=cpu"}, host("cuda"));
  EXPECT_EQ(given->train.device, "cpu");
  EXPECT_EQ(given.device_choice().why, "") << "nothing was to be decided";
  // The checks of a device hold for the one that was decided.
  EXPECT_NO_THROW(LoadedConfig(path, {"train.attention=cudnn"}, host("cuda")));
  EXPECT_THROW(LoadedConfig(path, {"train.attention=cudnn"}, host("cpu")), ConfigError);
}

TEST_F(ConfigFile, AResumeOnAnotherDeviceIsAChangeOfRounding) {
  const std::string path = Write(kMode);
  const auto values = [&](const char* device) {
    const LoadedConfig config(path, {}, {.choose_device = [device] {
                                return DeviceChoice{device, "of this test"};
                              }});
    return ValuesOf(ResolvedConfig(*config));
  };
  const std::vector<ChangedKey> changed = ChangedKeys(values("cuda"), values("cpu"));
  ASSERT_FALSE(changed.empty());
  EXPECT_EQ(Describe(changed.back()), "train.device 'cuda' → 'cpu' (changes rounding)");
  EXPECT_TRUE(ChangedKeys(values("cuda"), values("cuda")).empty());
}

TEST_F(ConfigFile, ARankIsPinnedToTheCoresNearItsGpuUnlessTheKeyForbidsIt) {
  const std::string path = Write(kMode), off = "train.pin_to_gpu_node=false";
  int asked = 0;
  const HostOfRun host{.ranks = 4,
                       .choose_device =
                           [] {
                             return DeviceChoice{"cuda", "of this test"};
                           },
                       .cores_near_gpu =
                           [&] {
                             ++asked;
                             return HostCores{.cores = 12, .ranks = 2, .pinned = {4, 5, 6}};
                           }};
  const LoadedConfig near(path, {}, host);
  EXPECT_EQ(near.cores().pinned, (std::vector<int>{4, 5, 6}));
  EXPECT_EQ(near->pipeline.threads, 12 / 2 - 2) << "the cores near the GPU are shared, not all";
  EXPECT_TRUE(KeysWithoutEffect(*near).empty());
  EXPECT_EQ(asked, 1);

  const LoadedConfig anywhere(path, {off}, host);
  EXPECT_TRUE(anywhere.cores().pinned.empty());
  EXPECT_EQ(anywhere.cores().cores, UsableCores());
  EXPECT_EQ(anywhere.cores().ranks, 4);
  const LoadedConfig on_cpu(path, {"train.device=cpu"}, host);
  EXPECT_TRUE(on_cpu.cores().pinned.empty());
  EXPECT_EQ(on_cpu.cores().ranks, 4);
  EXPECT_EQ(asked, 1) << "nobody else needs to know";
  EXPECT_EQ(
      KeysWithoutEffect(*LoadedConfig(path, {off, "train.device=cpu"})),
      std::vector<std::string>{"train.pin_to_gpu_node has no effect with train.device = cpu"});
}

TEST_F(ConfigFile, ThreadsThatAreNotGivenComeFromTheCores) {
  const std::string path = Write(kMode);
  const LoadedConfig config(path, {"train.threads=3", "pipeline.threads=5"}, {.ranks = 2});
  EXPECT_EQ(config->train.threads, 3);
  EXPECT_EQ(config->pipeline.threads, 5);
  EXPECT_EQ(config.DescribeThreads(), "3 threads for training, 5 for decoding");
  const LoadedConfig by_rule(path, {});
  EXPECT_EQ(by_rule->train.threads, std::min(UsableCores(), kMostThreads));
  EXPECT_GE(by_rule->pipeline.threads, 1);
  EXPECT_NE(by_rule.DescribeThreads().find("core"), std::string::npos);
  EXPECT_EQ(ValuesOf(ResolvedConfig(*by_rule)).at("pipeline.threads"), "0");
}

TEST_F(ConfigFile, ThreadsThatWereLeftToTheHostAreDecidedAgainWhereTheRunIsResumed) {
  std::filesystem::create_directory(folder_ / "run");
  const auto written = [&](std::vector<std::string> words) {
    words.push_back("run=" + (folder_ / "run"));
    const LoadedConfig config(Write(kMode), words);
    WriteResolvedConfig(*config);
    return config->run + "/config.toml";
  };
  const std::string by_rule = written({});
  // As a host whose cores are shared by as many ranks.
  const LoadedConfig resumed(by_rule, {}, {.ranks = UsableCores()});
  EXPECT_EQ(resumed->train.threads, 1);
  EXPECT_NE(ReadWholeFile(by_rule, 1 << 20).find("\nthreads = 0\n"), std::string::npos);
  // A number that was given stays, and with it the results to the bit.
  const LoadedConfig given(written({"train.threads=3"}), {}, {.ranks = UsableCores()});
  EXPECT_EQ(given->train.threads, 3);
  // The checkpoint tells what was used, so that a resume can say that it differs.
  EXPECT_EQ(ValuesOf(ResolvedConfig(*given)).at("train.threads"), "3");
  EXPECT_EQ(ValuesOf(ResolvedConfig(*resumed)).at("train.threads"), "1");
}

TEST(Cores, AreSharedByRanksDecodersAndTheModel) {
  const auto shared = [](const CoreShare& share) {
    const RankThreads threads = ShareCores(share);
    return std::pair(threads.model, threads.decoders);
  };
  EXPECT_EQ(shared({.cores = 2}), std::pair(2, 1));
  EXPECT_EQ(shared({.cores = 64}), std::pair(64, 16));
  EXPECT_EQ(shared({.cores = 64, .ranks = 4}), std::pair(16, 4));
  EXPECT_EQ(shared({.cores = 2, .ranks = 8}), std::pair(1, 1));
  EXPECT_EQ(shared({.cores = 16, .model = 4}), std::pair(4, 12));
  EXPECT_EQ(shared({.cores = 16, .on_gpu = true}), std::pair(4, 15));
  EXPECT_EQ(shared({.cores = 64, .ranks = 8, .on_gpu = true}), std::pair(2, 6));
  EXPECT_EQ(shared({.cores = 192, .ranks = 8, .on_gpu = true}), std::pair(4, 22));
  EXPECT_EQ(shared({.cores = 2, .ranks = 2, .on_gpu = true}), std::pair(1, 1));
  EXPECT_EQ(shared({.cores = 9, .on_gpu = true, .model = 8, .decoders = 3}), std::pair(8, 3));
  EXPECT_EQ(shared({.cores = 1024}), std::pair(256, 256));
}

TEST(Cores, ThatALauncherBoundToARankAreItsOwn) {
  EXPECT_EQ(RanksOnCores(16, 128, 8), 1);
  EXPECT_EQ(RanksOnCores(128, 128, 8), 8);
  EXPECT_EQ(RanksOnCores(17, 128, 8), 8);
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
  // After what it says of itself: what the program says of each key.
  TrainConfig read;
  ConfigTable table;
  BindConfig(read, table);
  const std::string text = ReadWholeFile(path, 1 << 20);
  table.ReadText(text, path);
  EXPECT_EQ(text.substr(text.find("\n\n") + 2), ExplainedConfig(table));
}

TEST(ConfigKeys, AreExplainedByThemselvesOrByTheKeyBefore) {
  for (const KeyInfo& key : ConfigKeys()) EXPECT_NE(TextOf(key), "") << key.name;
  EXPECT_EQ(TextOf(*FindKey("optimizer.beta2")), FindKey("optimizer.beta1")->text);
  EXPECT_EQ(Wrapped("one two three", "# ", 9), "# one two\n# three\n");
  EXPECT_EQ(Wrapped("", "# ", 9), "");
}

TEST_F(ConfigFile, AFolderInItsPlaceIsNamedAsOne) {
  const std::string folder = folder_.path();
  EXPECT_EQ(MessageOf([&] { LoadedConfig config(folder, {}); }),
            folder + ": is a folder without a config.toml; use a config file or a run folder");
}

TEST_F(ConfigFile, AKeyByTheNameThatAnotherProgramGivesItIsUnderstood) {
  for (const auto& [given, meant] : {std::pair{"train.lr", "learning_rate.lr"},
                                     {"lr", "learning_rate.lr"},
                                     {"train.wd", "optimizer.weight_decay"},
                                     {"train.batch-size", "train.batch_size"},
                                     {"optimizer.warmup", "learning_rate.warmup"},
                                     {"data.workers", "pipeline.threads"},
                                     {"model.precision", "train.precision"},
                                     {"epochs", "train.epochs"},
                                     {"data.train_data", "data.train"},
                                     {"optimiser.name", "optimizer.name"},
                                     {"modle.name", "model.name"},
                                     {"optimizer.lr_tau", "temperature.lr"}}) {
    const std::string error = ErrorOf(kMode, {std::string(given) + "=1"});
    EXPECT_NE(error.find("did you mean " + std::string(meant) + "?"), std::string::npos) << error;
  }
}

struct Flag {
  const char* name;
  const char* key;  // null: none
};
// All of open_clip_train 3.3's params.py, but for --resume, which is a key of that name.
constexpr Flag kOpenClipFlags[] = {
    {"train_data", "data.train"},
    {"train_data_upsampling_factors", "data.repeats"},
    {"val_data", "data.val"},
    {"train_num_samples", "data.epoch_samples"},
    {"val_num_samples", nullptr},
    {"dataset_type", nullptr},
    {"dataset_resampled", "data.resampled"},
    {"csv_separator", "data.separator"},
    {"csv_img_key", "data.image_key"},
    {"csv_caption_key", "data.caption_key"},
    {"imagenet_val", "eval.zeroshot"},
    {"imagenet_v2", nullptr},
    {"cache_dir", nullptr},
    {"logs", "run"},
    {"log_local", nullptr},
    {"name", "run"},
    {"workers", "pipeline.threads"},
    {"batch_size", "train.batch_size"},
    {"epochs", "train.epochs"},
    {"epochs_cooldown", "learning_rate.cooldown_epochs"},
    {"lr", "learning_rate.lr"},
    {"beta1", "optimizer.beta1"},
    {"beta2", "optimizer.beta2"},
    {"eps", "optimizer.eps"},
    {"wd", "optimizer.weight_decay"},
    {"momentum", "optimizer.momentum"},
    {"warmup", "learning_rate.warmup"},
    {"opt", "optimizer.name"},
    {"use_bn_sync", "model.sync_batch_norm"},
    {"skip_scheduler", "learning_rate.schedule"},
    {"lr_scheduler", "learning_rate.schedule"},
    {"lr_cooldown_end", "learning_rate.cooldown_end"},
    {"lr_cooldown_power", "learning_rate.cooldown_power"},
    {"save_frequency", "checkpoint.every_epochs"},
    {"save_most_recent", "checkpoint.keep"},
    {"zeroshot_frequency", "eval.zeroshot_every_epochs"},
    {"val_frequency", "eval.every_epochs"},
    {"precision", "train.precision"},
    {"model", "model.name"},
    {"pretrained", "model.pretrained"},
    {"pretrained_image", nullptr},
    {"lock_image", "model.lock_image"},
    {"lock_image_unlocked_groups", "model.lock_image_unlocked_groups"},
    {"lock_image_freeze_bn_stats", "model.lock_image_freeze_bn_stats"},
    {"image_mean", nullptr},
    {"image_std", nullptr},
    {"image_interpolation", nullptr},
    {"image_resize_mode", nullptr},
    {"aug_cfg", nullptr},
    {"grad_checkpointing", "train.grad_checkpointing"},
    {"local_loss", nullptr},
    {"gather_with_grad", nullptr},
    {"force_context_length", nullptr},
    {"force_image_size", nullptr},
    {"force_quick_gelu", nullptr},
    {"force_patch_dropout", "model.patch_dropout"},
    {"force_custom_text", nullptr},
    {"torchscript", nullptr},
    {"torchcompile", nullptr},
    {"trace", nullptr},
    {"accum_freq", "train.micro_batches"},
    {"device", "train.device"},
    {"dist_url", nullptr},
    {"dist_backend", nullptr},
    {"report_to", nullptr},
    {"wandb_notes", nullptr},
    {"wandb_project_name", nullptr},
    {"debug", nullptr},
    {"copy_codebase", nullptr},
    {"horovod", nullptr},
    {"ddp_static_graph", nullptr},
    {"no_set_device_rank", nullptr},
    {"seed", "train.seed"},
    {"grad_clip_norm", "train.clip_norm"},
    {"lock_text", "model.lock_text"},
    {"lock_text_unlocked_layers", "model.lock_text_unlocked_layers"},
    {"lock_text_freeze_layer_norm", "model.lock_text_freeze_layer_norm"},
    {"log_every_n_steps", "train.log_every"},
    {"coca_caption_loss_weight", nullptr},
    {"coca_contrastive_loss_weight", nullptr},
    {"remote_sync", nullptr},
    {"remote_sync_frequency", nullptr},
    {"remote_sync_protocol", nullptr},
    {"delete_previous_checkpoint", "checkpoint.keep"},
    {"distill_model", nullptr},
    {"distill_pretrained", nullptr},
    {"use_bnb_linear", nullptr},
    {"siglip", "objective.name=siglip"},
    {"loss_dist_impl", nullptr},
};

TEST_F(ConfigFile, AnOptionOfOpenClipIsUnderstoodOrSaidToHaveNoKey) {
  LoadedConfig config(Write(kMode), {});
  const std::vector<std::string> keys = config.table().keys();
  for (const auto& [name, key] : kOpenClipFlags) {
    std::string dashed = name;
    std::ranges::replace(dashed, '_', '-');
    const std::string says = key == nullptr ? "OpenCLIP's --" + dashed + " has no counterpart: "
                                            : "did you mean " + std::string(key) + "?";
    std::vector<std::string> typed = {name, dashed, "--" + dashed};
    const std::string section = key == nullptr ? "train" : std::string(key);
    for (const std::string& in : {section.substr(0, section.find('.')), std::string("comm")}) {
      typed.push_back(in + "." + name);
      typed.push_back(in + "." + dashed);
    }
    for (const std::string& word : typed) {
      if (std::ranges::find(keys, word) != keys.end()) continue;  // it is the key
      const std::string error = ErrorOf(kMode, {word + "=1"});
      EXPECT_NE(error.find(says), std::string::npos) << error;
    }
  }
}

TEST_F(ConfigFile, NamesTheKeysThatHaveNoEffectBesideTheOthers) {
  TrainConfig config;
  config.objective.mode = "exact";
  config.data.val = "val.tar";
  EXPECT_EQ(KeysWithoutEffect(config), std::vector<std::string>());
  config.objective.name = "openclip";
  config.gamma.min = 0.5;
  config.objective.rho = 8;
  config.optimizer.momentum = 0.5;
  config.optimizer.eps = 1e-3;
  config.learning_rate.cooldown_epochs = 3;
  config.eval.every_epochs = 0;
  EXPECT_EQ(KeysWithoutEffect(config),
            (std::vector<std::string>{
                "gamma.min has no effect with objective.name = openclip",
                "objective.rho has no effect with objective.name = openclip",
                "optimizer.momentum has no effect with optimizer.name = adamw",
                "learning_rate.cooldown_epochs has no effect with learning_rate.schedule = cosine",
                "data.val has no effect with eval.every_epochs = 0"}));
}

TEST_F(ConfigFile, TheOneOfARunMeansTheFolderWhereItLiesNow) {
  LoadedConfig config(Write(kMode), {"run=" + (folder_ / "run")});
  std::filesystem::create_directory(folder_ / "run");
  std::ofstream(folder_ / "run/starts.jsonl") << "{}\n";
  std::ofstream(folder_ / "run/config.toml") << config.table().Write();
  EXPECT_EQ(LoadedConfig(folder_ / "run", {})->run, folder_ / "run");
  std::filesystem::rename(folder_ / "run", folder_ / "moved");
  for (const char* word : {"moved", "moved/config.toml"}) {
    EXPECT_EQ(LoadedConfig(folder_ / word, {})->run, folder_ / "moved") << word;
  }
  EXPECT_EQ(LoadedConfig(folder_ / "moved", {"run=other"})->run, "other");
  std::filesystem::copy(folder_ / "moved/config.toml", folder_ / "config.toml");
  EXPECT_EQ(LoadedConfig(folder_ / "config.toml", {})->run, folder_ / "run") << "lies in no run";
}

TEST(ConfigKeys, AreDistinctAndBindDistinctFields) {
  for (const KeyInfo& key : ConfigKeys()) {
    EXPECT_EQ(std::ranges::count(ConfigKeys(), key.name, &KeyInfo::name), 1) << key.name;
  }
  // A key that is set changes its own value only.
  const ConfigValues defaults = ValuesOf(TrainConfig());
  for (const KeyInfo& key : ConfigKeys()) {
    const std::string name(key.name);
    const std::string& value = defaults.at(name);
    for (const char* other :
         {"true", "false", "2", "0.5", "[2]", "[0.5]", "['x']", "x", "cuda", "amp", "pad", "split",
          "fastclip_v1", "exact", "constant", "config", "const", "lion", "fast"}) {
      TrainConfig config;
      ConfigTable table;
      BindConfig(config, table);
      try {
        table.Override(name + "=" + other);
      } catch (const ConfigError&) {
        continue;
      }
      ConfigValues changed = ValuesOf(config);
      if (changed.at(name) == value) continue;
      changed.at(name) = value;
      EXPECT_EQ(changed, defaults) << name << "=" << other;
    }
  }
}

TEST(ConfigKeys, DifferBetweenHostsOnlyWhereNoResultDependsOnThem) {
  // Trainer::RefuseUnlikeData compares the hashes of these.
  const std::set<std::string_view> lists = {"data.train", "data.val", "eval.zeroshot"};
  for (const KeyInfo& key : ConfigKeys()) {
    EXPECT_TRUE(!key.per_host || key.change == KeyChange::kNothing ||
                key.change == KeyChange::kRounding || lists.contains(key.name))
        << key.name;
  }
  EXPECT_TRUE(FindKey("pipeline.read_ahead")->per_host);
  EXPECT_FALSE(FindKey("checkpoint.every_steps")->per_host);  // ranks save together
}

TEST(ConfigChanges, NameEachKeyItsValuesAndWhatTheyChange) {
  TrainConfig before;
  TrainConfig now = before;
  now.learning_rate.lr = 2e-3;
  now.comm.timeout = 60;
  now.data.train = "moved/{0..3}.tar";
  now.resume = true;
  ConfigValues old = ValuesOf(before);
  std::vector<std::string> lines;
  for (const ChangedKey& key : ChangedKeys(old, ValuesOf(now))) lines.push_back(Describe(key));
  EXPECT_EQ(lines, (std::vector<std::string>{"data.train '' → 'moved/{0..3}.tar' (same effect)",
                                             "learning_rate.lr 0.001 → 0.002 (changes results)",
                                             "comm.timeout 120 → 60 (changes no result)"}));
  // Another version's: a key that it did not know had its default; one that is gone is nothing.
  old.erase("train.epochs");
  old["train.forgotten"] = "1";
  old["train.clip_norm"] = "'none'";
  EXPECT_EQ(ChangedKeys(old, ValuesOf(now)).size(), 4u);
  EXPECT_EQ(ValuesOf(ConfigFrom(old)), ValuesOf(before));
}

TEST(ConfigChanges, TellHowFarTheSchedulesJump) {
  TrainConfig before;
  before.train.epochs = 2;
  TrainConfig now = before;
  const SchedulePoint end{.step = 20, .epoch = 2, .before = {20, 10}, .now = {80, 10}};
  EXPECT_EQ(
      DescribeJumps(before, now, {.step = 20, .epoch = 2, .before = {20, 10}, .now = {20, 10}}),
      "");
  now.train.epochs = 8;
  EXPECT_EQ(DescribeJumps(before, now, end), "learning rate 0 → 0.0008536, gamma 0.2 → 0.6");
}

TEST_F(ConfigFile, ATokenizerOfNoKnownKindIsRefused) {
  EXPECT_NE(ErrorOf(kMode, {"data.tokenizer=bert"}).find("data.tokenizer: tokenizer 'bert'"),
            std::string::npos);
}

}  // namespace
}  // namespace fastclip

#include <random>

#include "pipeline/pixels/encode.h"
#include "tests/pipeline/shard_files.h"
#include "tests/support/two_hosts.h"
#include "tests/trainer/ranks_fixture.h"

namespace fastclip {
namespace {

struct Cut {
  const char* name;
  int ranks;
  std::vector<std::string> words;
};

const std::vector<std::string> kUneven = {"data.train=synthetic:220", "train.batch_size=44",
                                          "data.lanes=11"};
std::vector<std::string> With(std::vector<std::string> words, const std::string& more) {
  words.push_back(more);
  return words;
}

constexpr int kTwoHosts = -4;  // four ranks, two on each of two hosts

/// Worlds of both kinds of lanes; the first of each kind is what the others must equal.
std::vector<std::vector<Cut>> HostsCuts() {
  return {{{"one", 1, {}}, {"hosts", kTwoHosts, {}}},
          {{"uneven_one", 1, kUneven},
           {"uneven_hosts", kTwoHosts, With(kUneven, "data.lanes_per_rank=[5,2,3,1]")}}};
}
std::vector<std::vector<Cut>> Cuts() {
  return {{{"one", 1, {}}, {"two", 2, {}}, {"four", 4, {}}},
          {{"uneven_one", 1, kUneven},
           {"uneven_two", 2, kUneven},
           {"uneven_four", 4, With(kUneven, "data.lanes_per_rank=[5,2,3,1]")}}};
}

class RanksEqual : public Ranks {
 protected:
  /// As many pictures without a flat place as the cut's list has. In a flat one a batch norm gives
  /// rounding, which a ReLU turns into a place that is on or off.
  std::string Noise(const Cut& cut) {
    const int records = cut.words.empty() ? 160 : 220;
    const std::string path = folder_ / ("noise" + std::to_string(records) + ".tar");
    if (std::filesystem::exists(path)) return path;
    std::mt19937 random(9);
    Members members;
    for (int i = 0; i < records; ++i) {
      Image image{40, 40, std::vector<std::uint8_t>(3 * 40 * 40)};
      for (std::uint8_t& value : image.pixels) value = static_cast<std::uint8_t>(random());
      const std::string key = std::to_string(1000 + i);
      members.emplace_back(key + ".png", AsString(EncodePng(image)));
      members.emplace_back(key + ".txt", "noise number " + key);
    }
    WriteShard(path, members);
    return path;
  }

  int RunCut(const Cut& cut, const std::string& run, const std::vector<std::string>& words) {
    if (cut.ranks != kTwoHosts) return Run(Words(run, cut.ranks, words));
    const int code = hosts_.RunRanks(Words(run, 1, words), folder_ / "hosts.log");
    errors_ = ReadText(folder_ / "hosts.log");
    return code;
  }

  /// Float64 with AdamW: parameters and sample table after 20 steps. Float32 with SGD (AdamW
  /// divides rounding by rounding where a gradient is zero): parameters, and the gradient of
  /// step 1.
  void Compare(const std::vector<std::vector<Cut>>& worlds, const std::string& objective,
               const std::string& model, bool has_kinks) {
    for (const auto& cuts : worlds) {
      for (const Cut& cut : cuts) {
        SCOPED_TRACE(objective + " " + cut.name);
        std::vector<std::string> words = ObjectiveWords(objective);
        words.push_back("model.name=" + model);
        words.insert(words.end(), cut.words.begin(), cut.words.end());
        if (has_kinks) words.push_back("data.train=" + Noise(cut));
        ASSERT_EQ(RunCut(cut, cut.name, words), 0) << errors_;
        words.insert(words.end(),
                     {"train.precision=fp32", "optimizer.name=sgdm", "optimizer.weight_decay=0",
                      "learning_rate.lr=0.01", "checkpoint.every_steps=1"});
        const std::string single = std::string(cut.name) + "_float32";
        ASSERT_EQ(RunCut(cut, single, words), 0) << errors_;
        if (cut.ranks == 1) continue;
        const std::string one = cuts.front().name;
        ExpectClose(Read(cut.name, 20, "model.safetensors"), Read(one, 20, "model.safetensors"),
                    1e-8);
        ExpectSameState(State(cut.name, 20), State(one, 20));
        // The first step's momentum is its gradient.
        const Tensors gradient = Read(single, 1, "optimizer.safetensors");
        const Tensors expected = Read(one + "_float32", 1, "optimizer.safetensors");
        if (has_kinks) {
          // Over 20 steps kinks and the norms of few rows let rounding grow without bound.
          EXPECT_LE(Apart(gradient, expected), 2e-5);
          continue;
        }
        ExpectClose(gradient, expected, 2e-6);
        // The rounding of twenty gradients adds up.
        ExpectClose(Read(single, 20, "model.safetensors"),
                    Read(one + "_float32", 20, "model.safetensors"), 5e-6);
      }
      for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
        if (entry.is_directory()) std::filesystem::remove_all(entry.path());
      }
    }
  }

  TwoHosts hosts_;
};

class EveryObjective : public RanksEqual, public testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Ranks, EveryObjective,
                         testing::Values("fastclip_v0", "fastclip_v1", "fastclip_v2", "fastclip_v3",
                                         "sogclr", "isogclr", "openclip", "siglip"));

TEST_P(EveryObjective, IsTheSameTrainingOnAnyRanksWithAViT) {
  Compare(Cuts(), GetParam(), folder_ / "model.toml", /*has_kinks=*/false);
}

// Of each way in which objectives exchange: a few scalars a row, features, blocks of features.
// Norms over the ranks and the hosts' network do not see which objective uses them.
class EveryExchange : public RanksEqual, public testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Ranks, EveryExchange,
                         testing::Values("fastclip_v3", "openclip", "siglip"));

TEST_P(EveryExchange, IsTheSameTrainingOnAnyRanksWithAResNet) {
  Compare(Cuts(), GetParam(), ResNetModel(), /*has_kinks=*/true);
}

TEST_P(EveryExchange, IsTheSameTrainingOnTwoHosts) {
  if (!hosts_.made()) GTEST_SKIP() << "network namespaces are not permitted here";
  Compare(HostsCuts(), GetParam(), folder_ / "model.toml", /*has_kinks=*/false);
  Compare(HostsCuts(), GetParam(), ResNetModel(), /*has_kinks=*/true);
}

}  // namespace
}  // namespace fastclip

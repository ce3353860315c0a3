#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/paths.h"
#include "tests/support/program.h"

namespace fastclip {

/// The program as a user runs it, on pairs made up from their index and a model of two thin layers.
class Training : public testing::Test {
 protected:
  static constexpr const char* kTextTower = R"([text]
context_length = 16
vocab_size = 49408
width = 16
heads = 2
layers = 1
)";

  void SetUp() override {
    std::ofstream(folder_ / "model.toml") << R"(
embed_dim = 16
[vision]
image_size = 32
patch_size = 16
width = 32
layers = 1
head_width = 16
)" << kTextTower;
    std::ofstream(folder_ / "run.toml") << R"(
[train]
epochs = 4
batch_size = 16
threads = 1
log_every = 1
[data]
train = "synthetic:200"
[objective]
name = "fastclip_v3"
mode = "exact"
[learning_rate]
warmup = 5
)";
  }

  /// A model file with a ResNet of one thin block a stage.
  std::string ResNetModel() {
    std::ofstream(folder_ / "resnet.toml") << R"(
embed_dim = 16
[vision]
image_size = 32
layers = [1, 1, 1, 1]
width = 4
head_width = 32
)" << kTextTower;
    return folder_ / "resnet.toml";
  }

  std::vector<std::string> Train(const std::string& run, std::vector<std::string> words = {}) {
    std::vector<std::string> all = {"train", folder_ / "run.toml", "run=" + (folder_ / run),
                                    "model.name=" + (folder_ / "model.toml")};
    all.insert(all.end(), words.begin(), words.end());
    return all;
  }
  int Run(const std::vector<std::string>& words, const std::string& start_in = "") {
    Program program(folder_.path(), words, start_in);
    const int code = program.Wait();
    errors_ = program.errors();
    output_ = program.output();
    return code;
  }
  std::vector<nlohmann::json> Metrics(const std::string& run) {
    std::vector<nlohmann::json> lines;
    std::ifstream file(folder_ / (run + "/metrics.jsonl"));
    for (std::string line; std::getline(file, line);) {
      nlohmann::json json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
      if (json.is_discarded()) break;  // read while it is being written
      for (const char* time : {"samples_per_second", "data_wait", "seconds", "data", "limit"}) json.erase(time);
      lines.push_back(json);
    }
    return lines;
  }
  std::vector<std::string> Checkpoints(const std::string& run) {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_ / (run + "/checkpoints"))) {
      names.push_back(entry.path().filename());
    }
    std::sort(names.begin(), names.end());
    return names;
  }
  void ExpectSameEnd(const std::string& one, const std::string& other, int step = 48) {
    EXPECT_EQ(Metrics(one), Metrics(other));
    ASSERT_EQ(Checkpoints(one), Checkpoints(other));
    const std::string last = "/checkpoints/step_" + std::to_string(step) + "/";
    for (const char* file : {"model.safetensors", "optimizer.safetensors", "state_0.safetensors"}) {
      EXPECT_TRUE(ReadText(folder_ / (one + last + file)) == ReadText(folder_ / (other + last + file)))
          << file;
    }
  }

  TemporaryFolder folder_;
  std::string errors_, output_;
};

}  // namespace fastclip

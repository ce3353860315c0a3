#pragma once

#include <ATen/ATen.h>

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "tests/trainer/training_fixture.h"
#include "trainer/state/safetensors.h"

namespace fastclip {

/// The program on several ranks of this host, and what its checkpoints hold.
class Ranks : public Training {
 protected:
  /// A run of 20 steps of 32 rows in 8 lanes, 5 an epoch, with a checkpoint of step 1.
  std::vector<std::string> Words(const std::string& run, int ranks,
                                 const std::vector<std::string>& more = {}) {
    std::vector<std::string> words = {
        "data.train=synthetic:160", "train.batch_size=32",       "data.lanes=8",
        "train.precision=fp64",     "checkpoint.every_epochs=0", "checkpoint.keep=1000"};
    words.insert(words.end(), more.begin(), more.end());
    std::vector<std::string> all = Train(run, words);
    if (ranks > 1) all.insert(all.end(), {"--ranks", std::to_string(ranks)});
    return all;
  }

  /// The words that an objective needs besides its name.
  static std::vector<std::string> ObjectiveWords(const std::string& name) {
    std::vector<std::string> words = {"objective.name=" + name};
    if (name == "fastclip_v2" || name == "isogclr") {
      words.insert(words.end(), {"temperature.schedule=const", "temperature.lr=0.0133",
                                 "temperature.init=0.03"});
    }
    if (name == "sogclr" || name == "isogclr") words.push_back("gamma.schedule=constant");
    if (name == "siglip") words.push_back("temperature.init=0.1");
    return words;
  }

  using Tensors = std::map<std::string, at::Tensor>;
  Tensors Read(const std::string& run, int step, const std::string& file) {
    Tensors tensors;
    const std::string path = folder_ / (run + "/checkpoints/step_" + std::to_string(step) + "/");
    for (const auto& [name, tensor] : ReadSafetensors(path + file).tensors) tensors[name] = tensor;
    return tensors;
  }
  /// The sample table of all ranks, in lane order; undefined where there is none.
  at::Tensor State(const std::string& run, int step) {
    std::vector<at::Tensor> parts;
    for (int rank = 0;; ++rank) {
      const std::string file = "state_" + std::to_string(rank) + ".safetensors";
      const std::string path =
          folder_ / (run + "/checkpoints/step_" + std::to_string(step) + "/" + file);
      if (!std::filesystem::exists(path)) break;
      parts.push_back(Read(run, step, file).at("values"));
    }
    return parts.empty() ? at::Tensor() : at::cat(parts);
  }

  /// Each tensor within `tolerance` of its largest magnitude.
  static void ExpectClose(const Tensors& ours, const Tensors& theirs, double tolerance) {
    ASSERT_EQ(ours.size(), theirs.size());
    ASSERT_FALSE(ours.empty());
    for (const auto& [name, tensor] : theirs) {
      ASSERT_TRUE(ours.contains(name)) << name;
      if (!tensor.is_floating_point()) {
        EXPECT_TRUE(ours.at(name).equal(tensor)) << name;
        continue;
      }
      const double apart = (ours.at(name) - tensor).abs().max().item<double>();
      EXPECT_LE(apart, tolerance * tensor.abs().max().item<double>()) << name;
    }
  }
  /// Root of the summed squares of the differences, in that of the second's numbers.
  static double Apart(const Tensors& ours, const Tensors& theirs) {
    double apart = 0, all = 0;
    for (const auto& [name, tensor] : theirs) {
      if (!tensor.is_floating_point()) continue;
      apart += (ours.at(name) - tensor).square().sum().item<double>();
      all += tensor.square().sum().item<double>();
    }
    return std::sqrt(apart / all);
  }
  static void ExpectSameState(const at::Tensor& ours, const at::Tensor& theirs) {
    ASSERT_EQ(ours.defined(), theirs.defined());
    if (!ours.defined()) return;
    EXPECT_TRUE(at::allclose(ours, theirs, 1e-9, 1e-12, /*equal_nan=*/true))
        << (ours - theirs).abs().nan_to_num(0, 0, 0).max().item<double>();
  }
};

}  // namespace fastclip

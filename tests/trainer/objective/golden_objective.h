#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/paths.h"
#include "trainer/state/safetensors.h"

namespace fastclip {

/// A file of golden numbers with what the manifest says about it.
struct GoldenFile {
  std::string name;
  nlohmann::json about;
  std::map<std::string, at::Tensor> tensors;

  bool Has(const std::string& tensor) const { return tensors.contains(tensor); }
  const at::Tensor& At(const std::string& tensor) const {
    const auto found = tensors.find(tensor);
    if (found == tensors.end()) throw std::runtime_error(name + " has no tensor " + tensor);
    return found->second;
  }
};

/// The folders with objective numbers: the shared one, where it is there, and our own synthetic
/// cases.
inline std::vector<std::filesystem::path> GoldenObjectiveFolders() {
  std::vector<std::filesystem::path> folders;
  const std::filesystem::path shared = SharedFolder() / "golden/objective";
  if (!SharedFolder().empty() && std::filesystem::is_directory(shared)) {
    folders.push_back(shared);
  } else {
    std::printf("skipped ../shared/golden/objective: the folder is absent\n");
  }
  folders.emplace_back("tests/golden/objective");
  return folders;
}

/// Calls `run` with each file of this kind that a folder's manifest lists; `run` returns how many
/// cases it compared (0: it said why not). Fails where a folder gave none.
inline void ForEachGolden(const std::string& kind,
                          const std::function<int(const GoldenFile&)>& run) {
  for (const std::filesystem::path& folder : GoldenObjectiveFolders()) {
    std::ifstream text(folder / "manifest.json");
    ASSERT_TRUE(text) << folder << " has no manifest.json";
    const nlohmann::json manifest = nlohmann::json::parse(text);
    int ran = 0;
    for (const auto& [name, about] : manifest.at("files").items()) {
      if (about.at("kind") != kind) continue;
      GoldenFile file{name, about, {}};
      for (auto& [tensor, values] : ReadSafetensors((folder / name).string()).tensors) {
        file.tensors[tensor] = values;
      }
      const int cases = run(file);
      if (cases > 0) std::printf("%s: %d cases\n", (folder / name).c_str(), cases);
      ran += cases;
    }
    std::printf("%s, %s: %d cases ran\n", folder.c_str(), kind.c_str(), ran);
    EXPECT_GT(ran, 0) << "no case of " << kind << " ran in " << folder;
  }
}

/// float64 within 1e-12, float32 within 3e-5 of the largest finite magnitude in `whole`, the tensor
/// of which `golden` is a part; `apart` more, relative, where the formulas differ. What is NaN or
/// infinite there must be so here.
inline testing::AssertionResult Agrees(const at::Tensor& ours, const at::Tensor& golden,
                                       const at::Tensor& whole, double apart = 0) {
  if (ours.sizes() != golden.sizes()) return testing::AssertionFailure() << "the shapes differ";
  const double tolerance = apart + (ours.scalar_type() == at::kFloat ? 3e-5 : 1e-12);
  const at::Tensor mine = ours.detach().to(at::kDouble);
  const at::Tensor theirs = golden.to(at::kDouble);
  const at::Tensor same = mine.eq(theirs).logical_or(mine.isnan().logical_and(theirs.isnan()));
  const at::Tensor gap = at::where(same, at::zeros_like(mine), (mine - theirs).abs());
  const double largest =
      at::where(whole.isfinite(), whole, at::zeros_like(whole)).abs().max().item<double>();
  const double worst = gap.numel() == 0 ? 0 : gap.max().item<double>();
  if (worst <= tolerance * largest) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "off by " << worst << ", the largest is " << largest;
}

inline testing::AssertionResult Agrees(const at::Tensor& ours, const at::Tensor& golden) {
  return Agrees(ours, golden, golden);
}

}  // namespace fastclip

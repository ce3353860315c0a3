#include <fmt/format.h>

#include "tests/support/error_of.h"
#include "tests/support/paths.h"
#include "tests/trainer/adapters/adapters.h"
#include "trainer/adapters/fuse_adapters.h"
#include "trainer/base/sha256.h"

namespace fastclip {
namespace {

TEST(Sha256, OfTheStandardsExamples) {
  const auto digest = [](const std::vector<std::string>& parts) {
    Sha256 hash;
    for (const std::string& part : parts) hash.Add(std::as_bytes(std::span(part)));
    return hash.Hex();
  };
  EXPECT_EQ(digest({}), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(digest({"a", "bc"}),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(digest({std::string(999'937, 'a'), std::string(63, 'a')}),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(BaseHash, IsTheOneThatPythonComputes) {
  const AdapterBase base;
  const std::string golden = "a90d7916e6e1dba8336c2ada07eac72b28b79c44bb91cf93666270493d08be24";
  EXPECT_EQ(BaseHash(base.weights), golden);
  EXPECT_EQ(BaseHash(*base.Model()), golden);
  EXPECT_EQ(BaseHash(*base.Model(base.weights, at::kFloat)), golden);
  NamedTensors other = base.weights;
  other[3].second = other[3].second.clone();
  other[3].second.view(-1)[0] += 1e-3;
  EXPECT_NE(BaseHash(other), golden);
}

NamedTensors In(at::ScalarType type, const NamedTensors& tensors) {
  NamedTensors all = tensors;
  for (auto& [name, tensor] : all) tensor = tensor.to(type);
  return all;
}

TEST(Merge, GivesTheGoldenWeightsAndFeatures) {
  const AdapterBase base;
  const AdaptGolden golden("lora");
  for (const auto& [name, adapter] :
       {std::pair{"lora_qv", base.LoraQv()}, {"lora_all_rslora", base.LoraAll()}}) {
    const MergedWeights merged = Merge(base.weights, adapter);
    const std::map<std::string, at::Tensor> by_name(merged.tensors.begin(), merged.tensors.end());
    for (const auto& [weight, tensor] : golden.Under(std::string(name) + "/merged/")) {
      ExpectNear(by_name.at(weight), tensor, 1e-12, weight);
    }
    ExpectFeatures(base.Features(*base.Model(merged.tensors)), golden, name, 1e-10);
  }
}

TEST(Merge, RoundsOnceAndUnmergeGivesTheBaseToTheBit) {
  const AdapterBase base;
  for (const auto& [type, tolerance] : {std::pair{at::kFloat, 1e-5}, {at::kBFloat16, 1e-2}}) {
    const NamedTensors weights = In(type, base.weights);
    MergedWeights merged = Merge(weights, base.LoraAll());
    const auto beside = base.Model(weights, at::kFloat);
    AttachAdapter(*beside, base.LoraAll(), "adapter");
    const PerSide<at::Tensor> expected = base.Features(*beside);
    const PerSide<at::Tensor> got = base.Features(*base.Model(merged.tensors, at::kFloat));
    ExpectNear(got.image, expected.image, tolerance, "image");
    ExpectNear(got.text, expected.text, tolerance, "text");
    EXPECT_FALSE(at::equal(got.image, base.Features(*base.Model(weights, at::kFloat)).image));

    const TemporaryFolder folder;
    WriteUnmergeFile(folder / "u.safetensors", {merged.changes, "m", "b"});
    const UnmergeFile kept = ReadUnmergeFile(folder / "u.safetensors");
    EXPECT_EQ(kept.merged, "m");
    EXPECT_EQ(kept.base, "b");
    Unmerge(merged.tensors, kept.changes);
    ExpectSame(merged.tensors, weights);
  }
}

TEST(Merge, ParametersOfTheModelItselfAreReplaced) {
  const AdapterBase base;
  Adapter adapter = base.LoraQv();
  adapter.tuners.emplace_back("bitfit text");
  const at::Tensor bias = base.golden["weight/ln_final.bias"] + 1;
  adapter.tensors.emplace_back("ln_final.bias", bias);
  MergedWeights merged = Merge(base.weights, adapter);
  const std::map<std::string, at::Tensor> by_name(merged.tensors.begin(), merged.tensors.end());
  EXPECT_TRUE(at::equal(by_name.at("ln_final.bias"), bias));
  Unmerge(merged.tensors, merged.changes);
  ExpectSame(merged.tensors, base.weights);
}

TEST(Fuse, TheSumOfLoraAdaptersHasTheSumOfTheirChanges) {
  const AdapterBase base;
  const Adapter qv = base.LoraQv(), all = base.LoraAll();
  const Adapter fused =
      Fuse({{"qv", qv, 0.5}, {"all", all, -0.25}}, base.weights, OnOverlap::kRefuse);
  CheckAdapter(fused, "fused");
  const auto change = [&](const Adapter& adapter, std::size_t i) {
    return Merge(base.weights, adapter).tensors[i].second - base.weights[i].second;
  };
  for (std::size_t i = 0; i < base.weights.size(); ++i) {
    const at::Tensor expected = change(qv, i) * 0.5 - change(all, i) * 0.25;
    EXPECT_LE((change(fused, i) - expected).abs().max().item<double>(), 1e-14)
        << base.weights[i].first;
  }
}

TEST(Fuse, RanksThatExceedTheMatrixAreRefused) {
  const AdapterBase base;
  const std::vector<WeightedAdapter> many(9, {"qv", base.LoraQv(), 1});
  EXPECT_EQ(
      ErrorOf([&] { Fuse(many, base.weights, OnOverlap::kRefuse); }),
      "text.block.0.q: the ranks add up to 36, but its matrix has only 32; merge the adapters "
      "instead");
}

TEST(CheckBase, OtherWeightsAreRefused) {
  const AdapterBase base;
  const Adapter adapter = base.LoraQv();
  EXPECT_EQ(CheckBase(adapter, adapter.base, "A", "B"), "");
  EXPECT_EQ(ErrorOf([&] { CheckBase(adapter, std::string(64, '0'), "A", "B"); }),
            "A: the adapter belongs to other weights (SHA-256 a90d7916e6e1…) than B "
            "(000000000000…); use the base that it was trained on");
  const TemporaryFolder folder;
  WriteAdapter(folder / "a", adapter);
  const auto model = base.Model();
  AttachAdapter(*model, folder / "a");
  const auto other = std::make_unique<ClipModel>(AdaptGoldenModel(), 1, 0.07, at::kDouble);
  EXPECT_NE(ErrorOf([&] { AttachAdapter(*other, folder / "a"); }).find("belongs to other weights"),
            std::string::npos);
}

}  // namespace
}  // namespace fastclip

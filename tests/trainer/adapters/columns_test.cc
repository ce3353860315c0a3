// S²FT in files, merged, fused and as LoRA.

#include <nlohmann/json.hpp>

#include "tests/support/error_of.h"
#include "tests/support/paths.h"
#include "tests/trainer/adapt/s2ft_golden.h"
#include "tests/trainer/adapters/adapters.h"
#include "trainer/adapters/column_sites.h"
#include "trainer/adapters/fuse_adapters.h"
#include "trainer/adapters/lora_sites.h"
#include "trainer/adapters/peft_export.h"
#include "trainer/base/file_io.h"

namespace fastclip {
namespace {

/// A golden case after its third step.
Adapter Trained(const AdapterBase& base, const std::string& name, const Picks& picks) {
  Adapter adapter = base.LoraQv();
  const AdaptGolden golden("s2ft");
  adapter.tuners = RecipeOf(picks);
  adapter.tensors = golden.Under(name + "/step3/");
  for (const auto& [site, index] : golden.Under(name + "/index/")) {
    adapter.tensors.emplace_back(site + ".index", index.to(at::kLong));
  }
  CheckAdapter(adapter, name);
  return adapter;
}

Adapter First(const AdapterBase& base) { return Trained(base, "s2ft", kFirstPicks); }
Adapter Second(const AdapterBase& base) { return Trained(base, "s2ft_second", kSecondPicks); }

TEST(Columns, AFolderHoldsValuesAndIndices) {
  const AdapterBase base;
  const TemporaryFolder folder;
  const Adapter adapter = First(base);
  WriteAdapter(folder / "a", adapter);
  const Adapter back = ReadAdapter(folder / "a");
  EXPECT_EQ(LayoutOf(back), "S2FT");
  ExpectSame(back.tensors, adapter.tensors);
  ExpectFeatures(base.FeaturesWith(back), AdaptGolden("s2ft"), "s2ft/trained", 1e-10);
  for (const auto& [name, tensor] :
       ReadSafetensors(folder / "a/adapter_model.safetensors").tensors) {
    EXPECT_EQ(tensor.scalar_type() == at::kInt, name.ends_with(".s2ft_index")) << name;
  }
}

TEST(Columns, MergeReplacesThemAndUnmergePutsThemBack) {
  const AdapterBase base;
  MergedWeights merged = Merge(base.weights, First(base));
  ExpectFeatures(base.Features(*base.Model(merged.tensors)), AdaptGolden("s2ft"), "s2ft/trained",
                 1e-10);
  for (const WeightChange& change : merged.changes) {
    EXPECT_EQ(change.before.size(1), change.index.size(0));  // no more than what trains
  }
  Unmerge(merged.tensors, merged.changes);
  ExpectSame(merged.tensors, base.weights);
}

TEST(Columns, AsLoraTheyAreTheGoldenFolder) {
  const AdapterBase base;
  const Adapter lora = ColumnsAsLora(First(base), base.weights);
  CheckAdapter(lora, "lora");
  ExpectFeatures(base.FeaturesWith(lora), AdaptGolden("s2ft"), "s2ft/trained", 1e-10);
  const std::string folder = "tests/golden/adapt/export_s2ft_as_lora/";
  const AdapterDocument document = ToPeft(lora, Dialect::kHfClip);
  EXPECT_EQ(nlohmann::json::parse(document.config),
            nlohmann::json::parse(ReadWholeFile(folder + "adapter_config.json", 1 << 20)));
  ExpectSame(document.tensors, ReadSafetensors(folder + "adapter_model.safetensors").tensors,
             1e-12);
}

TEST(Columns, TheProductOfTheLoraIsTheChangeToTheBit) {
  const AdapterBase base;
  const Adapter columns = First(base);
  const std::map<std::string, at::Tensor> weights(base.weights.begin(), base.weights.end());
  const std::vector<LoraSite> pairs = LoraSites(ColumnsAsLora(columns, base.weights));
  ASSERT_EQ(pairs.size(), kFirstPicks.size());
  for (const ColumnSite& at : ColumnSites(columns)) {
    const auto pair = std::ranges::find(pairs, at.site, &LoraSite::site);
    ASSERT_NE(pair, pairs.end());
    const at::Tensor& weight = weights.at(WeightName(at.site));
    const at::Tensor change = at.values - weight.index_select(1, at.index);
    EXPECT_TRUE(at::equal(at::mm(pair->b, pair->a),
                          at::zeros_like(weight).index_copy(1, at.index, change)));
    EXPECT_EQ(pair->options.scaling(), 1);
  }
}

TEST(Columns, TwoAdaptersFuseToTheGoldenSum) {
  const AdapterBase base;
  const Adapter fused = Fuse({{"first", First(base), 0.7}, {"second", Second(base), 0.4}},
                             base.weights, OnOverlap::kRefuse);
  CheckAdapter(fused, "fused");
  EXPECT_EQ(fused.tuners[0], "s2ft image.block.0.fc2 pick=4,5,17,18,41,90");
  ExpectFeatures(base.FeaturesWith(fused), AdaptGolden("s2ft"), "fused", 1e-10);
  const TemporaryFolder folder;
  WriteAdapter(folder / "fused", fused);
  ExpectFeatures(base.FeaturesWith(ReadAdapter(folder / "fused")), AdaptGolden("s2ft"), "fused",
                 1e-10);
}

TEST(Columns, OverlappingOnesAreRefusedUnlessTheyAreToBeAdded) {
  const AdapterBase base;
  const std::vector<WeightedAdapter> twice = {{"one", First(base), 0.5}, {"two", First(base), 0.5}};
  EXPECT_EQ(ErrorOf([&] { Fuse(twice, base.weights, OnOverlap::kRefuse); }),
            "two: image.block.0.fc2 trains 4 of 4 columns that another adapter trains too; train "
            "it with the other's columns excluded, or use --overlap add");
  const Adapter sum = Fuse(twice, base.weights, OnOverlap::kAdd);
  ExpectFeatures(base.FeaturesWith(sum), AdaptGolden("s2ft"), "s2ft/trained", 1e-10);
}

TEST(Columns, AnIndexThatIsNoneIsRefused) {
  const AdapterBase base;
  for (const std::vector<std::int64_t>& wrong :
       {std::vector<std::int64_t>{5, 17, 41, 96}, {-1, 17, 41, 90}, {5, 17, 17, 90}}) {
    Adapter adapter = First(base);
    for (auto& [name, tensor] : adapter.tensors) {
      if (name == "image.block.0.fc2.index") tensor = at::tensor(wrong);
    }
    EXPECT_EQ(ErrorOf([&] { CheckAdapter(adapter, "A"); }),
              "A: tensor image.block.0.fc2.index does not hold columns of its weight, ascending");
  }
}

}  // namespace
}  // namespace fastclip

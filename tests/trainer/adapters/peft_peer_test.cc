// Hugging Face PEFT loads our adapters and we load its; logits and features agree.

#include <cstdlib>

#include "tests/support/paths.h"
#include "tests/support/peers.h"
#include "tests/trainer/adapt/s2ft_golden.h"
#include "tests/trainer/adapters/adapters.h"
#include "trainer/adapters/column_sites.h"

namespace fastclip {
namespace {

TEST(PeftPeer, LoadsOurAdaptersAndWeLoadIts) {
  const std::string python = PeersPython();
  if (python.empty()) GTEST_SKIP() << "no peers' environment: tools/peers.sh makes it";
  const AdapterBase base;
  const TemporaryFolder folder;
  NamedTensors content = {{"image", base.golden["image"]}, {"text", base.golden["text"]}};
  for (const auto& [name, tensor] : base.weights) content.emplace_back("weight/" + name, tensor);
  WriteSafetensors(folder / "base.safetensors", content,
                   {{"model", OpenClipJson(AdaptGoldenModel())}});

  Adapter projections = base.LoraAll();
  for (const char* name : {"visual.proj", "text_projection"}) {
    projections.tensors.emplace_back(name, base.golden[std::string("weight/") + name] * 1.1 + 0.1);
  }
  Adapter mixed = base.LoraQv();
  mixed.tuners = {"lora *.block.*.q r=4 alpha=16", "lora *.block.*.v r=4 alpha=2 rslora=true"};
  Adapter columns = base.LoraQv();
  columns.tuners = RecipeOf(kFirstPicks);
  columns.tensors = AdaptGolden("s2ft").Under("s2ft/step3/");
  for (const auto& [site, index] : AdaptGolden("s2ft").Under("s2ft/index/")) {
    columns.tensors.emplace_back(site + ".index", index.to(at::kLong));
  }
  NamedTensors features;
  const auto put = [&](const std::string& name, const Adapter& adapter, Dialect dialect) {
    WriteAdapter(folder / name, adapter, dialect);
    const PerSide<at::Tensor> of = base.FeaturesWith(adapter);
    features.emplace_back(name + "/image_features", of.image);
    features.emplace_back(name + "/text_features", of.text);
  };
  put("hf_clip_qv", base.LoraQv(), Dialect::kHfClip);
  put("hf_clip_all", base.LoraAll(), Dialect::kHfClip);
  put("hf_clip_mixed", mixed, Dialect::kHfClip);
  put("hf_clip_projections", projections, Dialect::kHfClip);
  put("hf_clip_s2ft", ColumnsAsLora(columns, base.weights), Dialect::kHfClip);
  put("open_clip_qv", base.LoraQv(), Dialect::kOpenClip);
  put("open_clip_mixed", mixed, Dialect::kOpenClip);
  WriteSafetensors(folder / "features.safetensors", features);

  const std::string command =
      python + " tools/peers/check_adapters.py '" + folder.path().string() + "'";
  ASSERT_EQ(std::system(command.c_str()), 0) << command;
  const Adapter theirs = ReadPeftAdapter(folder / "theirs", AdaptGoldenModel());
  const PerSide<at::Tensor> got = base.FeaturesWith(theirs);
  for (const auto& [name, tensor] : ReadSafetensors(folder / "theirs.safetensors").tensors) {
    ExpectNear(name == "image_features" ? got.image : got.text, tensor, 1e-10, name);
  }
}

}  // namespace
}  // namespace fastclip

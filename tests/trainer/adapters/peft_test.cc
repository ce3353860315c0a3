// Files in the layout of Hugging Face PEFT, both ways.

#include <cmath>
#include <nlohmann/json.hpp>

#include "tests/support/error_of.h"
#include "tests/support/paths.h"
#include "tests/trainer/adapters/adapters.h"
#include "trainer/adapters/lora_sites.h"
#include "trainer/adapters/peft_config.h"
#include "trainer/adapters/peft_export.h"
#include "trainer/adapters/peft_import.h"
#include "trainer/base/file_io.h"

namespace fastclip {
namespace {

using nlohmann::json;

const std::string kGolden = "tests/golden/adapt/";

std::string ConfigOf(const std::string& folder) {
  return ReadWholeFile(folder + "/adapter_config.json", 1 << 20);
}

NamedTensors TensorsOf(const std::string& folder) {
  return ReadSafetensors(folder + "/adapter_model.safetensors").tensors;
}

TEST(Peft, ItsAdaptersGiveTheGoldenFeatures) {
  const AdapterBase base;
  const AdaptGolden golden("peft");
  for (const char* name : {"peft_hf_clip", "peft_hf_clip_pattern", "peft_open_clip"}) {
    const Adapter adapter = ReadPeftAdapter(kGolden + name, AdaptGoldenModel());
    ExpectFeatures(base.FeaturesWith(adapter), golden, name, 1e-10);
  }
}

TEST(Peft, TheRecipeOfAnImportSaysWhatThePatternsSay) {
  const Adapter adapter = ReadPeftAdapter(kGolden + "peft_hf_clip_pattern", AdaptGoldenModel());
  EXPECT_EQ(adapter.tuners,
            (std::vector<std::string>{"lora image.block.1.q r=4 alpha=6 rslora=true",
                                      "lora image.block.0,2.{q,v} r=4 alpha=6 rslora=true",
                                      "lora image.block.1.v r=5 alpha=9 rslora=true"}));
}

TEST(Peft, HalfPrecisionFilesAreRead) {
  const AdapterBase base;
  for (const auto type : {at::kHalf, at::kBFloat16}) {
    NamedTensors tensors = TensorsOf(kGolden + "peft_hf_clip");
    for (auto& [name, tensor] : tensors) tensor = tensor.to(type);
    const Adapter adapter =
        FromPeft(ConfigOf(kGolden + "peft_hf_clip"), tensors, base.LoraQv(), false, "half");
    ExpectFeatures(base.FeaturesWith(adapter), AdaptGolden("peft"), "peft_hf_clip", 1e-2);
  }
}

TEST(Peft, ExportForOpenClipEqualsTheGoldenFolder) {
  const AdapterBase base;
  const AdapterDocument ours = ToPeft(base.LoraQv(), Dialect::kOpenClip);
  const std::string folder = kGolden + "export_open_clip_lora_qv";
  EXPECT_EQ(json::parse(ours.config), json::parse(ConfigOf(folder)));
  ExpectSame(ours.tensors, TensorsOf(folder));
}

TEST(Peft, ExportsComeBackAsTheSameAdapter) {
  const AdapterBase base;
  const TemporaryFolder folder;
  const Adapter qv = base.LoraQv();
  for (const Dialect dialect : {Dialect::kHfClip, Dialect::kOpenClip}) {
    WriteAdapter(folder / "qv", qv, dialect);  // the second replaces the first
    const Adapter back = ReadAdapter(folder / "qv");
    EXPECT_EQ(back.base, qv.base);
    ExpectSame(back.tensors, qv.tensors);
    ExpectFeatures(base.FeaturesWith(back), AdaptGolden("lora"), "lora_qv", 1e-10);
    ExpectFeatures(base.FeaturesWith(ReadPeftAdapter(folder / "qv", AdaptGoldenModel())),
                   AdaptGolden("lora"), "lora_qv", 1e-10);
  }
  WriteAdapter(folder / "all", base.LoraAll());
  EXPECT_EQ(ReadAdapter(folder / "all").tuners, base.LoraAll().tuners);
  ExpectFeatures(base.FeaturesWith(ReadPeftAdapter(folder / "all", AdaptGoldenModel())),
                 AdaptGolden("lora"), "lora_all_rslora", 1e-10);
}

TEST(Peft, RanksAndScalingsThatDifferAreWrittenPerModule) {
  const AdapterBase base;
  Adapter mixed = base.LoraQv();
  mixed.tuners = {"lora *.block.*.q r=4 alpha=16", "lora *.block.*.v r=4 alpha=2 rslora=true"};
  const TemporaryFolder folder;
  for (const Dialect dialect : {Dialect::kHfClip, Dialect::kOpenClip}) {
    WriteAdapter(folder / "mixed", mixed, dialect);
    const PerSide<at::Tensor> back =
        base.FeaturesWith(ReadPeftAdapter(folder / "mixed", AdaptGoldenModel()));
    const PerSide<at::Tensor> plain = base.FeaturesWith(mixed);
    ExpectNear(back.image, plain.image, 1e-12, "image");
    ExpectNear(back.text, plain.text, 1e-12, "text");
  }
}

TEST(Peft, DropoutIsKept) {
  const AdapterBase base;
  Adapter adapter = base.LoraQv();
  adapter.tuners = {"lora *.block.*.{q,v} r=4 alpha=16 dropout=0.1"};
  const AdapterDocument document = ToPeft(adapter, Dialect::kHfClip);
  EXPECT_EQ(json::parse(document.config)["lora_dropout"], 0.1);
  EXPECT_EQ(FromPeft(document.config, document.tensors, adapter, false, "D").tuners[0],
            "lora image.block.0-2.{q,v} r=4 alpha=16 dropout=0.1");
}

TEST(Peft, OutProjIsRefusedForOpenClip) {
  const AdapterBase base;
  EXPECT_EQ(ErrorOf([&] { ToPeft(base.LoraAll(), Dialect::kOpenClip); }),
            "image.block.0.o cannot be exported for OpenCLIP: PEFT 0.21 adds the change of an "
            "attention's out_proj twice there; use the dialect hf_clip");
}

TEST(Peft, TrainedProjectionsAreItsModulesToSave) {
  const AdapterBase base;
  Adapter adapter = base.LoraQv();
  for (const char* name : {"visual.proj", "text_projection", "logit_scale"}) {
    adapter.tensors.emplace_back(name, base.golden[std::string("weight/") + name] * 1.5);
  }
  const AdapterDocument document = ToPeft(adapter, Dialect::kHfClip);
  EXPECT_EQ(json::parse(document.config)["modules_to_save"],
            json({"text_projection", "visual_projection"}));
  EXPECT_EQ(IgnoredByPeft(adapter, Dialect::kHfClip), std::vector<std::string>{"logit_scale"});
  const TemporaryFolder folder;
  WriteAdapter(folder / "a", adapter);
  ExpectSame(ModelTensors(ReadAdapter(folder / "a")), ModelTensors(adapter));
}

/// The error for a config of peft_hf_clip with one key changed.
std::string ErrorWith(const char* key, const json& value) {
  json config = json::parse(ConfigOf(kGolden + "peft_hf_clip"));
  config[key] = value;
  return ErrorOf([&] { PeftConfig(config.dump(), "C"); });
}

TEST(Peft, WhatItsConfigAsksForAndWeHaveNotIsRefusedByName) {
  EXPECT_EQ(ErrorWith("use_dora", true), "C: use_dora = true is not supported");
  EXPECT_EQ(ErrorWith("bias", "all"), "C: bias = \"all\" is not supported");
  EXPECT_EQ(ErrorWith("lora_bias", true), "C: lora_bias = true is not supported");
  EXPECT_EQ(ErrorWith("from_the_future", 3), "C: from_the_future = 3 is not supported");
  EXPECT_EQ(ErrorWith("peft_type", "IA3"),
            "C: peft_type \"IA3\" cannot be imported; only LORA can");
  EXPECT_NE(ErrorWith("init_lora_weights", "pissa").find("changes the base's weights"),
            std::string::npos);
  EXPECT_EQ(ErrorWith("lora_alpha", -1), "C: lora_alpha is not a number from 0 to 1e6");
  EXPECT_EQ(ErrorWith("alpha_pattern", {{"a", "b"}}),
            "C: alpha_pattern of a is not a number from 0 to 1e6");
  EXPECT_EQ(ErrorWith("revision", "main"), "");
  EXPECT_EQ(ErrorWith("init_lora_weights", "gaussian"), "");
}

TEST(Peft, AlphaPatternsAreExpressionsForTheEndOfAPath) {
  json config = {{"peft_type", "LORA"},
                 {"lora_alpha", 1},
                 {"alpha_pattern", json::parse(R"({"layers\\.[01]\\.self_attn\\.q_proj": 2,
                                                   "1.self_attn.v_proj": 3, "^text.*v_proj": 4})")}};
  const PeftConfig read(config.dump(), "C");
  EXPECT_EQ(read.AlphaOf("vision_model.encoder.layers.1.self_attn.q_proj"), 2);
  EXPECT_EQ(read.AlphaOf("vision_model.encoder.layers.2.self_attn.q_proj"), 1);
  EXPECT_EQ(read.AlphaOf("vision_model.encoder.layers.1.self_attn.v_proj"), 3);
  EXPECT_EQ(read.AlphaOf("vision_model.encoder.layers.11.self_attn.v_proj"), 1);
  config["alpha_pattern"] = {{"(a*)*b", 2}, {"(", 3}};
  EXPECT_NE(ErrorOf([&] {
              PeftConfig(config.dump(), "C").AlphaOf(std::string(60, 'a'));
            }).find("'(' cannot be read as a regular expression"),
            std::string::npos);
}

/// The error for the tensors of peft_hf_clip with more or other ones.
std::string ErrorWith(const NamedTensors& more) {
  NamedTensors tensors = TensorsOf(kGolden + "peft_hf_clip");
  tensors.insert(tensors.end(), more.begin(), more.end());
  const AdapterBase base;
  return ErrorOf([&] {
    CheckAdapter(FromPeft(ConfigOf(kGolden + "peft_hf_clip"), tensors, base.LoraQv(), false, "T"),
                 "T");
  });
}

TEST(Peft, TensorsThatDoNotFitAreRefusedByName) {
  const std::string module = "base_model.model.text_model.encoder.layers.";
  EXPECT_EQ(ErrorWith({{"x", at::zeros({1})}}), "T: unknown tensor x");
  EXPECT_EQ(ErrorWith({{module + "0.mlp.fc3.lora_A.weight", at::ones({1, 1})}}),
            "T: module text_model.encoder.layers.0.mlp.fc3 is not supported; adapters go at the "
            "attention's and the MLP's linear maps of transformer blocks");
  EXPECT_NE(ErrorWith({{module + "0.mlp.fc1.lora_magnitude_vector", at::ones({1})}})
                .find("lora_magnitude_vector is not supported"),
            std::string::npos);
  EXPECT_EQ(ErrorWith({{module + "7.mlp.fc1.lora_A.weight", at::ones({2, 32})}}),
            "T: module text_model.encoder.layers.7.mlp.fc1 has no lora_B");
  EXPECT_NE(ErrorWith({{module + "7.mlp.fc1.lora_A.weight", at::ones({2, 32})},
                       {module + "7.mlp.fc1.lora_B.weight", at::ones({128, 2})}})
                .find("the text tower has blocks 0 to 1"),
            std::string::npos);
  EXPECT_NE(
      ErrorWith({{module + "0.mlp.fc1.lora_A.weight", at::ones({2, 31})}}).find("shape [2, 31]"),
      std::string::npos);
  EXPECT_NE(ErrorWith({{module + "0.mlp.fc1.lora_A.weight", at::full({2, 32}, NAN)}})
                .find("a NaN or an infinity"),
            std::string::npos);
  EXPECT_NE(ErrorWith({{module + "0.mlp.fc1.lora_A.weight", at::ones({40, 32})},
                       {module + "0.mlp.fc1.lora_B.weight", at::ones({128, 40})}})
                .find("r = 40 at text.block.0.fc1, whose matrix is 128 × 32; lower r"),
            std::string::npos);
}

}  // namespace
}  // namespace fastclip

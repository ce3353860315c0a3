#include "trainer/adapt/recipe.h"

#include "tests/trainer/adapt/golden.h"

namespace fastclip {
namespace {

std::vector<std::string> IdsOf(const std::string& text) {
  std::vector<std::string> ids;
  for (const Site& site : ReadTuner(text, {.image_blocks = 3, .text_blocks = 2}).sites) {
    ids.push_back(site.id());
  }
  return ids;
}

std::string ErrorOf(const std::vector<std::string>& recipe) {
  try {
    ReadRecipe({.tuners = recipe}, AdaptGoldenModel());
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

TEST(Recipe, SitesAreNamedByStarsRangesAndBraces) {
  using Ids = std::vector<std::string>;
  EXPECT_EQ(IdsOf("lora image.block.1.q"), (Ids{"image.block.1.q"}));
  EXPECT_EQ(IdsOf("lora text.block.*.{q,v}"),
            (Ids{"text.block.0.q", "text.block.0.v", "text.block.1.q", "text.block.1.v"}));
  EXPECT_EQ(IdsOf("lora image.block.0-1.o"), (Ids{"image.block.0.o", "image.block.1.o"}));
  EXPECT_EQ(IdsOf("lora image.block.0,2.o"), (Ids{"image.block.0.o", "image.block.2.o"}));
  EXPECT_EQ(IdsOf("lora *.block.1.fc1"), (Ids{"image.block.1.fc1", "text.block.1.fc1"}));
  EXPECT_EQ(IdsOf("bitfit {image,text}"), (Ids{"image", "text"}));
}

TEST(Recipe, WhatCannotBeIsOneErrorWithTheNearestName) {
  EXPECT_NE(ErrorOf({"lora"}).find("write KIND SITES"), std::string::npos);
  EXPECT_NE(ErrorOf({"lorra image.block.*.q"}).find("did you mean lora?"), std::string::npos);
  EXPECT_NE(ErrorOf({"lora imag.block.*.q"}).find("did you mean image?"), std::string::npos);
  EXPECT_NE(ErrorOf({"lora image.block.*.fc3"}).find("did you mean fc1?"), std::string::npos);
  EXPECT_NE(ErrorOf({"lora image.block.7.q"}).find("has blocks 0 to 2, no block 7"),
            std::string::npos);
  EXPECT_NE(ErrorOf({"lora image.blocks.*.q"}).find("is not a site"), std::string::npos);
  EXPECT_NE(ErrorOf({"lora image.block.2-1.q"}).find("not a block or a range"), std::string::npos);
  EXPECT_NE(ErrorOf({"lora image.block.*.mha"}).find("its places are q, k"), std::string::npos);
  EXPECT_NE(ErrorOf({"bitfit image.block.*.q"}).find("name a whole tower"), std::string::npos);
  EXPECT_NE(ErrorOf({"lora image.block.*.q rank=8"}).find("has no setting 'rank'"),
            std::string::npos);
  EXPECT_NE(ErrorOf({"lora image.block.*.q r=0"}).find("r must be an integer from 1"),
            std::string::npos);
  EXPECT_NE(ErrorOf({"lora image.block.*.q r=8 r=4"}).find("r is set twice"), std::string::npos);
  EXPECT_NE(ErrorOf({"lora image.block.*.q", "lora image.block.1.{q,v}"}).find("is already set by"),
            std::string::npos);
  EXPECT_NE(ErrorOf({"lora image.block.0,0.q"}).find("named twice"), std::string::npos);
}

TEST(Recipe, ARankLargerThanTheMatrixIsRefused) {
  const AdaptGolden base("base");
  try {
    AdaptedModel model({"lora text.block.*.q r=33"}, base);
    FAIL() << "no error";
  } catch (const std::invalid_argument& error) {
    EXPECT_NE(std::string(error.what()).find("matrix is 32 × 32; lower r"), std::string::npos);
  }
}

TEST(Recipe, WhatIsFrozenHasNoGradient) {
  const AdaptGolden base("base");
  AdaptedModel model({"bitfit text"}, base);
  model.Backward();
  for (const Parameter& parameter : model.model.described()) {
    const bool trains = parameter.tower == Tower::kText && parameter.name.ends_with("bias");
    EXPECT_EQ(parameter.tensor.requires_grad(), trains) << parameter.name;
    EXPECT_EQ(parameter.tensor.grad().defined(), trains) << parameter.name;
  }
}

}  // namespace
}  // namespace fastclip

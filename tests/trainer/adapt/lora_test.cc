#include "trainer/adapt/lora.h"

#include "tests/trainer/adapt/golden.h"

namespace fastclip {
namespace {

TEST(Lora, FeaturesGradientsAndStepsEqualTheGoldenOnes) {
  const AdaptGolden base("base"), golden("lora");
  AdaptedModel some({"lora *.block.*.{q,v} r=4 alpha=16"}, base);
  EXPECT_EQ(some.trainable(), 3328);
  some.Take(golden.Under("lora_qv/param/"));
  some.ExpectCase(golden, "lora_qv");
  AdaptedModel all({"lora *.block.*.{q,k,v,o,fc1,fc2} r=3 alpha=6 rslora=true"}, base);
  EXPECT_EQ(all.trainable(), 9504);
  all.Take(golden.Under("lora_all_rslora/param/"));
  all.ExpectCase(golden, "lora_all_rslora");
}

TEST(Lora, ChangesNothingBeforeTheFirstStep) {
  const AdaptGolden base("base");
  const AdaptedModel plain({"bitfit image"}, base);
  const AdaptedModel tuned({"lora *.block.*.{q,k,v,o,fc1,fc2} r=3"}, base);
  EXPECT_TRUE(at::equal(tuned.Features().image, plain.Features().image));
  EXPECT_TRUE(at::equal(tuned.Features().text, plain.Features().text));
}

}  // namespace
}  // namespace fastclip

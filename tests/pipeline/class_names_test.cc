#include "pipeline/records/class_names.h"

#include <gtest/gtest.h>

#include "pipeline/records/label.h"
#include "pipeline/sources/open_source.h"
#include "tests/pipeline/shard_files.h"
#include "tests/support/paths.h"

namespace fastclip {
namespace {

TEST(ClassNames, FindAClassByItsNameElseButForCapitalsAndWhatIsBetweenWords) {
  const ClassNames names({"golden retriever", "Polish", "polish", "crane", "crane", "T-shirt"});
  EXPECT_EQ(names.Find("golden retriever"), 0);
  EXPECT_EQ(names.Find("Golden_Retriever"), 0);
  EXPECT_EQ(names.Find(" golden--retriever "), 0);
  EXPECT_EQ(names.Find("t shirt"), 5);
  EXPECT_EQ(names.Find("Polish"), 1);
  EXPECT_EQ(names.Find("polish"), 2);
  EXPECT_FALSE(names.Find("POLISH"));  // which?
  EXPECT_FALSE(names.Find("crane"));
  EXPECT_FALSE(names.Find("goldenretriever"));
  EXPECT_FALSE(names.Find(""));
}

TEST(ClassNames, RememberTheNamesThatLabelsHaveInVain) {
  const ClassNames names({"cat", "dog"});
  EXPECT_EQ(names.DescribeUnknown(), "");
  EXPECT_EQ(names.Label("dog"), 1);
  for (const char* name : {"fox", "fox", "a\x1b[31m"}) EXPECT_FALSE(names.Label(name));
  EXPECT_EQ(names.unknown().at("fox"), 2);
  EXPECT_EQ(names.DescribeUnknown(), "'a\\x1b[31m', 'fox' are not class names");
  for (int i = 0; i < 5000; ++i) names.Label(std::to_string(i) + std::string(1 << 12, 'x'));
  EXPECT_EQ(names.unknown().size(), 1000u);
  EXPECT_LE(names.unknown().rbegin()->first.size(), 256u);
}

TEST(ClassNames, GiveLabelsThatAreNames) {
  const TemporaryFolder folder;
  WriteShard(folder / "0.tar", {{"a.jpg", "A"},
                                {"a.cls", "Dog\n"},
                                {"b.jpg", "B"},
                                {"b.cls", "1"},
                                {"c.jpg", "C"},
                                {"c.cls", "fox"},
                                {"c.json", R"({"class": "cat"})"},
                                {"d.jpg", "D"},
                                {"d.cls", " "}});
  SourceOptions options;
  options.labels = "";
  const auto labels = [&] {
    std::vector<std::string> all;
    const auto source = OpenSource(folder / "0.tar", options);
    const RecordBlock block = source->Read(SampleIndex{0}, static_cast<int>(source->size()), {});
    for (const Record& record : block.records) {
      all.push_back(record.skip ? SkipName(*record.skip) : std::to_string(record.label));
    }
    return all;
  };
  using Lines = std::vector<std::string>;
  EXPECT_EQ(labels(), (Lines{"bad_label", "1", "bad_label", "no_label"}));
  options.class_names = std::make_shared<ClassNames>(std::vector<std::string>{"cat", "dog"});
  EXPECT_EQ(labels(), (Lines{"1", "1", "bad_label", "no_label"}));
  EXPECT_EQ(options.class_names->DescribeUnknown(), "'fox' is not a class name");
  options.class_names = ClassNames::Any();
  EXPECT_EQ(labels(), (Lines{"0", "1", "1", "no_label"}));
  options.labels = "json.class";
  options.class_names = std::make_shared<ClassNames>(std::vector<std::string>{"dog", "cat"});
  EXPECT_EQ(labels(), (Lines{"no_label", "no_label", "1", "no_label"}));
}

}  // namespace
}  // namespace fastclip

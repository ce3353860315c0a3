#include <gtest/gtest.h>

#include <chrono>

#include "pipeline/records/block_builder.h"
#include "pipeline/sources/open_source.h"
#include "pipeline/sources/record_keys.h"
#include "tests/pipeline/record_lines.h"
#include "tests/pipeline/shard_files.h"
#include "tests/support/paths.h"

namespace fastclip {
namespace {

/// Records of a picture and such a .json each.
void WriteJsons(const std::string& path, const std::vector<std::string>& jsons) {
  Members members;
  for (std::size_t i = 0; i < jsons.size(); ++i) {
    members.emplace_back(std::to_string(i) + ".jpg", "image");
    members.emplace_back(std::to_string(i) + ".json", jsons[i]);
  }
  WriteShard(path, members);
}

std::string Names(int count) {
  std::string names;
  for (int i = 0; i < count; ++i) names += fmt::format("\"name{}\": 0, ", i);
  return names;
}

TEST(JsonMembers, AreReadAsPythonReadsThem) {
  const TemporaryFolder folder;
  WriteJsons(
      folder / "0.tar",
      {R"({"caption": "a", "similarity": NaN, "key": 7})", R"({"caption": "b", "p": -Infinity})",
       R"({"p": 1e400, "caption": "c"})", R"({"x": "\ud800", "caption": "d\udc00"})",
       R"({"caption": "e", "pad": ")" + std::string(3 << 20, 'p') + "\"}",
       "\xEF\xBB\xBF{\"caption\": \"f\"}"});
  const Lines lines = Summary(ReadAll(*OpenSource(folder / "0.tar")));
  EXPECT_EQ(lines, (Lines{"0|image|a|-1|", "1|image|b|-1|", "2|image|c|-1|",
                          "3|image|d\xEF\xBF\xBD|-1|", "4|image|e|-1|", "5|image|f|-1|"}));
}

TEST(JsonMembers, ThatCannotBeReadAreNamedWhereTheyAreNeeded) {
  const TemporaryFolder folder;
  const std::string bad = R"({"caption": "a", "label": 3, "key": 4)";
  WriteShard(folder / "0.tar", {{"a.jpg", "image"},
                                {"a.json", bad},
                                {"b.jpg", "image"},
                                {"b.json", bad},
                                {"b.txt", "text"},
                                {"c.jpg", "image"},
                                {"c.json", "{}"},
                                {"d.jpg", "image"},
                                {"d.json", R"({"label": 5, "key": 6})"},
                                {"e.jpg", "image"},
                                {"e.json", ""}});
  EXPECT_EQ(Summary(ReadAll(*OpenSource(folder / "0.tar"))),
            (Lines{"a|image||-1|bad_json", "b|image|text|-1|", "c|image||-1|no_caption",
                   "d|image||-1|no_caption", "e|image||-1|bad_json"}));
  SourceOptions labelled;
  labelled.labels = "json.label";
  EXPECT_EQ(Summary(ReadAll(*OpenSource(folder / "0.tar", labelled))),
            (Lines{"a|image||-1|bad_json", "b|image||-1|bad_json", "c|image||-1|no_label",
                   "d|image||5|", "e|image||-1|bad_json"}));
  for (int time = 0; time < 2; ++time) {  // made, then read again
    const RecordKeys keys(folder / "0.tar", "json.key", {});
    EXPECT_EQ(keys.without_key(), 4);
    EXPECT_EQ(DescribeSkips(keys.without()), "1 no_label, 3 bad_json");
    std::vector<std::int64_t> all(5);
    keys.Read(SampleIndex{0}, all);
    EXPECT_EQ(all, (std::vector<std::int64_t>{-1, -1, -1, 6, -1}));
  }
}

TEST(JsonMembers, OfManyNamesTakeNoLongerThanTheirBytes) {
  const TemporaryFolder folder;
  const std::string json = "{" + Names(104'000) + R"("caption": "still here"})";
  WriteJsons(folder / "0.tar", {json, "{" + Names(300'000) + R"("key": 1})"});
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(Summary(ReadAll(*OpenSource(folder / "0.tar"))),
            (Lines{"0|image|still here|-1|", "1|image||-1|no_caption"}));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

TEST(JsonMembers, OfTooManyCaptionsAreTooLarge) {
  const TemporaryFolder folder;
  std::string most = R"({"captions": ["first")", large = most;
  for (std::size_t i = 1; i < kMaxCaptions; ++i) most += R"(, "more")";
  for (std::size_t i = 0; i <= kMaxCaptionsBytes / 50'000; ++i) {
    large += ", \"" + std::string(50'000, 'x') + "\"";
  }
  WriteJsons(folder / "0.tar", {most + ", {}, [[]]]}", most + R"(, "one more"]})", large + "]}"});
  const RecordBlock block = ReadAll(*OpenSource(folder / "0.tar"));
  EXPECT_EQ(block.records[0].captions.size(), kMaxCaptions);
  EXPECT_EQ(block.records[0].skip, std::nullopt);
  EXPECT_EQ(block.records[1].skip, Skip::kTooLarge);
  EXPECT_EQ(block.records[2].skip, Skip::kTooLarge);
}

}  // namespace
}  // namespace fastclip

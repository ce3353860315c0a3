#include <gtest/gtest.h>

#include <filesystem>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/records/block_builder.h"
#include "pipeline/records/caption_key.h"
#include "pipeline/sources/open_source.h"
#include "tests/pipeline/record_lines.h"
#include "tests/support/paths.h"

namespace fastclip {
namespace {

TEST(TarSource, TakesCaptionsThatLiveInTheJson) {
  const TemporaryFolder folder;
  WriteShard(folder / "0.tar", {{"a.jpg", "A"},
                                {"a.json", R"({"caption": "alone"})"},
                                {"b.jpg", "B"},
                                {"b.json", R"({"caption": "less", "captions": ["one", "two"]})"},
                                {"c.jpg", "C"},
                                {"c.json", R"({"caption": "less"})"},
                                {"c.txt", "more"},
                                {"d.jpg", "D"},
                                {"d.json", R"({"caption": null})"}});
  const OpenedSource opened = OpenSourceWithInfo(folder / "0.tar");
  EXPECT_EQ(Summary(ReadAll(*opened.source)),
            (Lines{"a|A|alone|-1|", "b|B|one,two|-1|", "c|C|more|-1|", "d|D||-1|no_caption"}));
  EXPECT_TRUE(opened.parts[0].warnings.empty()) << opened.parts[0].warnings[0];
}

TEST(TarSource, TakesTheCaptionsThatItIsTold) {
  const TemporaryFolder folder;
  WriteShard(
      folder / "a.tar",
      {{"1.jpg", "x"},
       {"1.txt", "web"},
       {"1.json", R"({"caption":"not asked for","new":{"long":"made up","all":["a","b"," ",5]}})"},
       {"2.jpg", "x"},
       {"2.txt", "web"},
       {"2.json", R"({"n\u0065w":{"long":"escaped"}})"},
       {"3.jpg", "x"},
       {"3.json", "{broken"}});
  SourceOptions options;
  options.captions =
      ParseCaptionKeys(std::vector<std::string>{"txt", "json.new.long", "json.new.all"},
                       std::vector<double>{0.5, 0.2, 0.3});
  const auto source = OpenSource(folder / "a.tar", options);
  const RecordBlock block = source->Read(SampleIndex{0}, 3, {});
  std::vector<std::pair<std::string, float>> captions;
  for (const Caption& caption : block.records[0].captions) {
    captions.emplace_back(caption.text, caption.weight);
  }
  EXPECT_EQ(captions, (std::vector<std::pair<std::string, float>>{
                          {"web", 0.5F}, {"made up", 0.2F}, {"a", 0.15F}, {"b", 0.15F}}));
  EXPECT_EQ(block.records[1].captions.size(), 2u);
  EXPECT_EQ(block.records[2].skip, Skip::kBadJson);
}

TEST(TarSource, SkipsARecordWhoseCaptionIsNotUtf8) {
  const TemporaryFolder folder;
  WriteShard(folder / "0.tar", {{"a.jpg", "A"},
                                {"a.txt", "caf\xe9"},
                                {"b.jpg", "B"},
                                {"b.txt", std::string("\xff\xfeo\0k\0", 6)},
                                {"c.jpg", "C"},
                                {"c.txt", "caf\xc3\xa9"},
                                {"d.jpg", "D"},
                                {"d.json", "{\"captions\": [\"one\", \"caf\xe9\"]}"}});
  EXPECT_EQ(Summary(ReadAll(*OpenSource(folder / "0.tar"))),
            (Lines{"a|A||-1|bad_caption", "b|B||-1|bad_caption", "c|C|caf\xc3\xa9|-1|",
                   "d|D||-1|bad_json"}));
}

TEST(TarSource, TakesATxtWholeOrACaptionALine) {
  const TemporaryFolder folder;
  std::string many, taken = "a line";
  for (std::size_t i = 0; i <= kMaxCaptions; ++i) many += "a line\n";
  for (std::size_t i = 1; i < kMaxCaptions; ++i) taken += ",a line";
  WriteShard(folder / "0.tar", {{"a.jpg", "A"},
                                {"a.txt", "\n one \r\n\r\n\ttwo\rthree\n \n"},
                                {"b.jpg", "B"},
                                {"b.txt", "alone\n"},
                                {"c.jpg", "C"},
                                {"c.txt", " \n\n"},
                                {"d.jpg", "D"},
                                {"d.txt", many},
                                {"e.jpg", "E"},
                                {"e.txt", "not\ntaken"},
                                {"e.json", R"({"captions": ["of\ntwo lines"]})"}});
  const auto whole = OpenSource(folder / "0.tar");
  const RecordBlock block = whole->Read(SampleIndex{0}, 5, {});
  EXPECT_EQ(block.records[0].captions.size(), 1u);
  EXPECT_EQ(block.records[3].captions.size(), 1u);
  EXPECT_EQ(whole->texts_of_several_lines(), 2);  // a, d

  SourceOptions options;
  options.caption_lines = CaptionLines::kSplit;
  const auto split = OpenSource(folder / "0.tar", options);
  EXPECT_EQ(Summary(ReadAll(*split)),
            (Lines{"a|A|one,two,three|-1|", "b|B|alone|-1|", "c|C||-1|no_caption",
                   "d|D|" + taken + "|-1|too_large", "e|E|of\ntwo lines|-1|"}));
  EXPECT_EQ(split->texts_of_several_lines(), 2);

  options.captions = ParseCaptionKeys(std::vector<std::string>{"txt", "json.captions"},
                                      std::vector<double>{0.6, 0.4});
  const auto keyed = OpenSource((folder / "0.tar") + "::" + (folder / "0.tar"), options);
  const RecordBlock lines = keyed->Read(SampleIndex{0}, 5, {});
  ASSERT_EQ(lines.records[4].captions.size(), 3u);
  EXPECT_FLOAT_EQ(lines.records[4].captions[0].weight, 0.3F);
  EXPECT_EQ(keyed->texts_of_several_lines(), 3);
}

TEST(CaptionKeys, AreRefusedWhereTheyAreNone) {
  using Keys = std::vector<std::string>;
  using Weights = std::vector<double>;
  EXPECT_TRUE(ParseCaptionKeys(Keys{}, Weights{}).empty());
  EXPECT_THROW(ParseCaptionKeys(Keys{"text"}, Weights{}), std::invalid_argument);
  EXPECT_THROW(ParseCaptionKeys(Keys{"json."}, Weights{}), std::invalid_argument);
  EXPECT_THROW(ParseCaptionKeys(Keys{"txt"}, Weights{1, 2}), std::invalid_argument);
  EXPECT_THROW(ParseCaptionKeys(Keys{"txt", "json.a"}, Weights{0, 0}), std::invalid_argument);
  EXPECT_THROW(ParseCaptionKeys(Keys{"txt", "json.a"}, Weights{1, -1}), std::invalid_argument);
  SourceOptions options;
  options.captions = ParseCaptionKeys(Keys{"txt"}, Weights{});
  EXPECT_THROW(OpenSource("synthetic:9", options), std::runtime_error);
}

TEST(TarSource, KeepsTheLastRecordOfACutShardWhoseCaptionIsInTheJson) {
  const TemporaryFolder folder;
  const std::string path = folder / "0.tar";
  WriteShard(path, {{"a.jpg", "A"},
                    {"a.json", R"({"caption": "one"})"},
                    {"b.jpg", "B"},
                    {"b.json", R"({"caption": "two"})"}});
  std::filesystem::resize_file(path, 4 * 1024);  // the members, without the mark of the end
  const OpenedSource opened = OpenSourceWithInfo(path);
  EXPECT_EQ(Summary(ReadAll(*opened.source)), (Lines{"a|A|one|-1|", "b|B|two|-1|"}));
  ASSERT_EQ(opened.parts[0].warnings.size(), 1u);
  EXPECT_NE(opened.parts[0].warnings[0].find("truncated (no end-of-archive mark)"), std::string::npos);
}

TEST(TarSource, CutsALongCaptionBetweenCharacters) {
  BlockBuilder builder;
  builder.Add(SampleIndex{0});
  std::string text = "x";
  while (text.size() < 2 * kMaxCaptionBytes) text += "€";
  builder.AddTrimmedCaption(text);
  const RecordBlock block = builder.Finish();
  EXPECT_LE(block.records[0].captions[0].text.size(), kMaxCaptionBytes);
  EXPECT_EQ(block.records[0].captions[0].text.size() % 3, 1u);
}

}  // namespace
}  // namespace fastclip

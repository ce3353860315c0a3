#include "pipeline/records/label.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "pipeline/sources/open_source.h"
#include "tests/pipeline/shard_files.h"
#include "tests/support/paths.h"

namespace fastclip {
namespace {

using Lines = std::vector<std::string>;

std::string Text(const Label& label) {
  return label.skip ? SkipName(*label.skip) : std::to_string(label.value);
}

/// "label or why not" of each record of a list, read for its labels.
Lines Labels(const std::string& list, const std::string& key = "") {
  SourceOptions options;
  options.labels = key;
  const auto source = OpenSource(list, options);
  const RecordBlock block = source->Read(SampleIndex{0}, static_cast<int>(source->size()), {});
  Lines lines;
  for (const Record& record : block.records) {
    EXPECT_TRUE(record.captions.empty());
    lines.push_back(record.skip ? SkipName(*record.skip) : std::to_string(record.label));
  }
  return lines;
}

TEST(Label, IsDigitsWithBlanksAround) {
  for (const auto& [text, expected] :
       std::vector<std::pair<std::string, std::string>>{{"7", "7"},
                                                        {" 12\r\n", "12"},
                                                        {"0", "0"},
                                                        {"", "no_label"},
                                                        {" \n", "no_label"},
                                                        {"-1", "bad_label"},
                                                        {"3.0", "3"},
                                                        {"12.", "12"},
                                                        {"3.5", "bad_label"},
                                                        {".0", "bad_label"},
                                                        {"3.0.0", "bad_label"},
                                                        {"3.0e1", "bad_label"},
                                                        {"3 4", "bad_label"},
                                                        {"cat", "bad_label"},
                                                        {"+3", "bad_label"},
                                                        {"4140800000", "4140800000"},
                                                        {"9007199254740993", "bad_label"},
                                                        {"9223372036854775808", "bad_label"}}) {
    EXPECT_EQ(Text(ParseLabel(text)), expected) << text;
  }
}

TEST(Label, IsFoundInJsonByItsPath) {
  const auto json = nlohmann::ordered_json::parse(
      R"({"a": {"b": 3, "c": "4", "d": null, "e": 2.5, "f": -1, "g": true, "h": 18446744073709551615, "i": 1.0, "j": 1e300, "k": "7.0"}})");
  const auto at = [&](const std::string& key) {
    return Text(LabelAt(json, ParseLabelKey(key).json_path));
  };
  EXPECT_EQ(at("json.a.b"), "3");
  EXPECT_EQ(at("json.a.c"), "4");
  EXPECT_EQ(at("json.a.i"), "1");
  EXPECT_EQ(at("json.a.k"), "7");
  for (const char* key : {"json.a.d", "json.a.z", "json.z", "json.a.b.c"}) {
    EXPECT_EQ(at(key), "no_label") << key;
  }
  for (const char* key : {"json.a.e", "json.a.f", "json.a.g", "json.a.h", "json.a.j", "json.a"}) {
    EXPECT_EQ(at(key), "bad_label") << key;
  }
  EXPECT_EQ(ParseLabelKey("class").column, "class");
  for (const char* key : {"json.", "json.a.", "json..b"}) {
    EXPECT_NE(ErrorOf([&] { ParseLabelKey(key); }).find("use json.NAME"), std::string::npos);
  }
}

TEST(TarSource, GivesLabelsOfPicturesWithoutCaptions) {
  const TemporaryFolder folder;
  WriteShard(folder / "0.tar", {{"a.jpg", "A"},
                                {"a.cls", "7\n"},
                                {"b.jpg", "B"},
                                {"b.txt", "a caption"},
                                {"c.jpg", "C"},
                                {"c.cls", "cat"},
                                {"c.json", R"({"info": {"class": 5}})"},
                                {"d.cls", "3"},
                                {"d.json", R"({"info": {"class": 5}})"},
                                {"e.jpg", "E"},
                                {"e.json", R"({"info": {"class": )"}});
  EXPECT_EQ(Labels(folder / "0.tar"),
            (Lines{"7", "no_label", "bad_label", "no_image", "no_label"}));
  EXPECT_EQ(Labels(folder / "0.tar", "json.info.class"),
            (Lines{"no_label", "no_label", "5", "no_image", "bad_json"}));
  EXPECT_NE(ErrorOf([&] { Labels(folder / "0.tar", "class"); }).find("use json.class"),
            std::string::npos);
}

TEST(TarSource, CountsALabelThatWasCutOffAsTruncated) {
  const TemporaryFolder folder;
  WriteShard(folder / "0.tar", {{"a.jpg", "A"}, {"a.cls", "7"}, {"b.jpg", "B"}, {"b.cls", "8"}});
  const std::string whole = ReadFile(folder / "0.tar");
  WriteFile(folder / "1.tar", whole.substr(0, 7 * 512));  // behind b.cls's header
  EXPECT_EQ(Labels(folder / "1.tar"), (Lines{"7", "truncated"}));
  WriteFile(folder / "2.tar", whole.substr(0, 6 * 512));  // in front of it
  EXPECT_EQ(Labels(folder / "2.tar"), (Lines{"7", "truncated"}));
}

TEST(TableSource, GivesTheLabelColumnOrField) {
  const TemporaryFolder folder;
  WriteFile(folder / "a.png", "A");
  WriteFile(folder / "t.tsv", "path\tlabel\tCategory\na.png\t1\t4\na.png\t\tx\nnone.png\t2\t5\n");
  EXPECT_EQ(Labels(folder / "t.tsv"), (Lines{"1", "no_label", "missing"}));
  EXPECT_EQ(Labels(folder / "t.tsv", "category"), (Lines{"4", "bad_label", "missing"}));
  WriteFile(folder / "t.jsonl",
            "{\"path\": \"a.png\", \"label\": 1, \"more\": {\"id\": 9}}\n{\"path\": \"a.png\"}\n");
  EXPECT_EQ(Labels(folder / "t.jsonl"), (Lines{"1", "no_label"}));
  EXPECT_EQ(Labels(folder / "t.jsonl", "json.more.id"), (Lines{"9", "no_label"}));
  EXPECT_EQ(Labels((folder / "t.tsv") + "::" + (folder / "t.jsonl") + "::synthetic:1").size(), 6u);

  WriteFile(folder / "u.csv", "path,caption\na.png,one\n");
  EXPECT_NE(ErrorOf([&] {
              Labels(folder / "u.csv");
            }).find("none is named label (the label); set it with --label-key"),
            std::string::npos);
  EXPECT_NE(ErrorOf([&] { Labels(folder / "t.tsv", "json.x"); }).find("must be a column name"),
            std::string::npos);
  EXPECT_NE(ErrorOf([&] { Labels("synthetic:1", "shape"); }).find("leave out"), std::string::npos);
}

TEST(TableSource, GivesLabelsThatAreNamesAndNoCaptionsWhereItHasNone) {
  const TemporaryFolder folder;
  WriteFile(folder / "a.png", "A");
  WriteFile(folder / "t.csv", "path,label\na.png,cat\na.png,1\na.png,fox\na.png,\n");
  WriteFile(folder / "t.jsonl", "{\"path\": \"a.png\", \"label\": \"Cat\"}\n");
  SourceOptions options;
  options.labels = "";
  options.class_names = std::make_shared<ClassNames>(std::vector<std::string>{"dog", "bat", "cat"});
  const auto labels = [&](const std::string& name) {
    Lines lines;
    const auto source = OpenSource(folder / name, options);
    const RecordBlock block = source->Read(SampleIndex{0}, static_cast<int>(source->size()), {});
    for (const Record& record : block.records) {
      lines.push_back(record.skip ? SkipName(*record.skip) : std::to_string(record.label));
    }
    return lines;
  };
  EXPECT_EQ(labels("t.csv"), (Lines{"2", "1", "bad_label", "no_label"}));
  EXPECT_EQ(labels("t.jsonl"), (Lines{"2"}));
  EXPECT_EQ(options.class_names->DescribeUnknown(), "'fox' is not a class name");
  options = {};  // as lint, info and train open it
  EXPECT_EQ(labels("t.csv"), (Lines{"no_caption", "no_caption", "no_caption", "no_caption"}));
  EXPECT_EQ(labels("t.jsonl"), (Lines{"no_caption"}));
  EXPECT_NE(OpenSourceWithInfo(folder / "t.csv").parts[0].details.find("'label', no captions"),
            std::string::npos);
  EXPECT_TRUE(OpenSourceWithInfo(folder / "t.jsonl").parts[0].warnings.empty());
}

TEST(TableSource, KeepsItsManifestWhateverIsRead) {
  const TemporaryFolder folder;
  WriteFile(folder / "a.png", "A");
  WriteFile(folder / "t.tsv", "path\ttext\tlabel\na.png\tone\t1\n");
  const auto hash = OpenSource(folder / "t.tsv")->hash();
  SourceOptions options;
  options.labels = "";
  const OpenedSource labelled = OpenSourceWithInfo(folder / "t.tsv", options);
  EXPECT_EQ(labelled.source->hash(), hash);
  EXPECT_EQ(labelled.parts[0].walked, 0);
  EXPECT_NE(labelled.parts[0].details.find("label from 'label'"), std::string::npos);
}

}  // namespace
}  // namespace fastclip

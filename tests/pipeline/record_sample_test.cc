#include "pipeline/sources/record_sample.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "pipeline/sources/open_source.h"
#include "pipeline/sources/sample_advice.h"
#include "pipeline/sources/skip_advice.h"
#include "tests/pipeline/shard_files.h"
#include "tests/support/fake_source.h"
#include "tests/support/paths.h"

namespace fastclip {
namespace {

constexpr const char* kJpeg = "\xFF\xD8\xFF";  // as an image's bytes begin

class RecordSamples : public testing::Test {
 protected:
  /// `records` records with a .jpg and these members.
  std::string Write(const std::string& name, int records, const Members& members) const {
    Members all;
    for (int i = 0; i < records; ++i) {
      all.emplace_back(std::to_string(i) + ".jpg", kJpeg);
      for (const auto& [field, text] : members) {
        all.emplace_back(std::to_string(i) + "." + field, text);
      }
    }
    WriteShard(folder_ / name, all);
    return folder_ / name;
  }
  static std::string Content(const std::string& list) {
    return DescribeContent(SampleRecords(*OpenSource(list)).front());
  }
  static std::string Lack(const std::string& list, const SourceOptions& options = {}) {
    return DescribeLack(SampleRecords(*OpenSource(list, options)), list, options, "data.captions");
  }
  static void ExpectLack(const std::string& list, const std::string& text,
                         const SourceOptions& options = {}) {
    const std::string lack = Lack(list, options);
    EXPECT_NE(lack.find(text), std::string::npos) << lack;
    EXPECT_EQ(lack.find('\n'), std::string::npos) << lack;
  }

  TemporaryFolder folder_;
};

TEST_F(RecordSamples, TellWhatAListHolds) {
  EXPECT_EQ(Content("synthetic:1000"), "images with captions and labels (0 to 5)");
  const std::string labelled = Write("l.tar", 200, {{"cls", "7"}});
  EXPECT_EQ(Content(labelled), "images with a single label (7), no captions");
  EXPECT_TRUE(OpenSourceWithInfo(labelled).parts[0].warnings.empty());
  EXPECT_EQ(Content(Write("n.tar", 9, {{"cls", "cat"}})), "images with class names, no captions");
  EXPECT_EQ(Content(Write("t.tar", 9, {{"txt", "one\ntwo"}, {"cls", "1"}})),
            "images with captions and a single label (1) (some .txt have several lines)");
  EXPECT_EQ(Content(Write("o.tar", 9, {{"npy", "one"}})), "images without captions");
}

TEST_F(RecordSamples, SayWhatIsThereInPlaceOfCaptions) {
  EXPECT_EQ(Lack("synthetic:10"), "");
  EXPECT_EQ(Lack(Write("good.tar", 3, {{"txt", "text"}})), "");
  const std::string labelled = Write("l.tar", 200, {{"cls", "7"}});
  ExpectLack(labelled, labelled + ": no record (64 of 200 checked) has a caption (.txt, or");
  ExpectLack(labelled,
             "They have .cls, .jpg. Images with labels are for fastclip "
             "eval zeroshot");
  const std::string js =
      Write("j.tar", 5, {{"json", R"({"url": "u", "blip_caption": "b", "n": 3, "recap": ["r"]})"}});
  ExpectLack(js, "no record (5 of 5 checked) has a caption");
  ExpectLack(js,
             "the .json has blip_caption, recap, url. Set data.captions='[\"json.blip_caption\"]'");
  SourceOptions options;
  options.captions = ParseCaptionKeys(std::vector<std::string>{"json.blip"}, {});
  ExpectLack(js, "has a caption at the given keys (data.captions)", options);
  options.captions = ParseCaptionKeys(std::vector<std::string>{"json.recap"}, {});
  EXPECT_EQ(Lack(js, options), "");
  WriteShard(folder_ / "p.tar", {{"a.txt", "text"}, {"a.tiff", "II"}});
  ExpectLack(folder_ / "p.tar",
             "no record (1 of 1 checked) can be used (1 no_image). They have .tiff, .txt");
}

TEST_F(RecordSamples, TellOfCaptionsAndFormatsThatCannotBeRead) {
  WriteFile(folder_ / "a.jpg", "\xFF\xD8\xFF");
  WriteFile(folder_ / "a.gif", "GIF89a");
  WriteFile(folder_ / "a.avif", std::string("\0\0\0\x20"
                                            "ftypavif\0",
                                            13));
  WriteFile(folder_ / "latin.csv", "path,text\na.jpg,caf\xE9\na.jpg,na\xEFve\n");
  ExpectLack(folder_ / "latin.csv",
             "no record (2 of 2 checked) can be used (2 bad_caption): the captions are not UTF-8; "
             "save the table as UTF-8");
  WriteFile(folder_ / "gif.csv", "path,text\na.gif,a\na.gif,b\n");
  ExpectLack(folder_ / "gif.csv",
             "2 of their images are GIF. GIF is off; add it with "
             "pipeline.formats='[\"jpeg\",\"png\",\"webp\",\"gif\"]'");
  SourceOptions with_gif;
  with_gif.formats = {PictureFormat::kJpeg, PictureFormat::kGif};
  EXPECT_EQ(Lack(folder_ / "gif.csv", with_gif), "");
  WriteFile(folder_ / "mixed.csv", "path,text\na.gif,a\na.jpg,b\n");
  EXPECT_EQ(Lack(folder_ / "mixed.csv"), "");
  EXPECT_EQ(FormatsOff(SampleRecords(*OpenSource(folder_ / "mixed.csv")).front(), kUsualFormats),
            (std::map<std::string, std::int64_t>{{"GIF", 1}}));
  WriteFile(folder_ / "avif.csv", "path,text\na.avif,a\n");
  ExpectLack(folder_ / "avif.csv", "AVIF cannot be read; convert the images to JPEG or PNG");
  WriteShard(folder_ / "gif.tar", {{"a.gif", "GIF89a"}, {"a.txt", "text"}});
  ExpectLack(folder_ / "gif.tar",
             "They have .gif, .txt. gif is off; add it with pipeline.formats=");
}

TEST_F(RecordSamples, TellOfAFolderWithATableThatItWasNotAskedFor) {
  std::filesystem::create_directories(folder_ / "set/img");
  WriteFile(folder_ / "set/img/1.jpg", "x");
  WriteFile(folder_ / "set/train.csv", "path,text\nimg/1.jpg,a\n");
  ExpectLack(folder_ / "set", "as in '" + (folder_ / "set/train.csv") + "'");
}

TEST_F(RecordSamples, SayWhatAllRecordsOfShardsLack) {
  const auto warning = [&](const std::string& name) {
    const std::vector<std::string> all = OpenSourceWithInfo(folder_ / name).parts[0].warnings;
    return all.empty() ? "" : all.front();
  };
  Write("no_text.tar", 3, {});
  EXPECT_EQ(warning("no_text.tar"), "3 records have no caption and no label (in no_text.tar)");
  WriteShard(folder_ / "text.tar", {{"a.txt", "a"}});
  EXPECT_EQ(warning("text.tar"), "1 record has no image (in text.tar)");
  WriteShard(folder_ / "apart.tar",
             {{"a.jpg", "x"}, {"b.jpg", "x"}, {"a.txt", "a"}, {"b.txt", "b"}});
  EXPECT_NE(warning("apart.tar").find("must be adjacent in the tar"), std::string::npos);
  WriteShard(folder_ / "some.tar", {{"a.jpg", "x"}, {"b.jpg", "x"}, {"b.txt", "b"}});
  EXPECT_EQ(warning("some.tar"), "1 record lacks an image, or a caption or label (in some.tar)");
}

TEST_F(RecordSamples, KnowTheLabelsOfTablesAndFolders) {
  std::filesystem::create_directories(folder_ / "set/cat");
  WriteFile(folder_ / "set/cat/1.jpg", "x");
  WriteFile(folder_ / "t.csv", "path,label\nset/cat/1.jpg,cat\n");
  EXPECT_EQ(Content(folder_ / "t.csv"), "images with class names, no captions");
  EXPECT_EQ(Content(folder_ / "set"), "images with a single label (0), no captions");
  for (const std::string& list : {folder_ / "t.csv", folder_ / "set"}) {
    EXPECT_EQ(Lack(list),
              list +
                  ": no record (1 of 1 checked) has a caption. Images with labels are for "
                  "fastclip eval zeroshot and eval linear, or for fastclip adapt with adapt.task = "
                  "\"classify\"");
    EXPECT_TRUE(SampleRecords(*OpenSource(list)).front().OnlyLabels());
  }
}

TEST_F(RecordSamples, TellOfBytesThatAreNoImage) {
  WriteShard(folder_ / "html.tar",
             {{"a.jpg", "<html>"}, {"a.txt", "a"}, {"b.jpg", ""}, {"b.txt", "b"}});
  ExpectLack(folder_ / "html.tar", "1 of their images is of no known format: not a JPEG");
  WriteShard(folder_ / "empty.tar", {{"a.jpg", ""}, {"a.txt", "a"}});
  ExpectLack(folder_ / "empty.tar", "1 of their images is empty");
}

TEST_F(RecordSamples, LookAtEachPartAndAreContentWithOneGoodRecord) {
  const std::string good = Write("good.tar", 3, {{"txt", "text"}});
  const std::string bad = Write("bad.tar", 3, {{"cls", "0"}});
  ExpectLack(good + "::" + bad, bad + ": no record (3 of 3 checked)");
  WriteShard(folder_ / "one.tar",
             {{"a.jpg", kJpeg}, {"b.jpg", kJpeg}, {"c.jpg", kJpeg}, {"c.txt", "c"}});
  EXPECT_EQ(Lack(folder_ / "one.tar"), "");
  FakeSource gone(100);
  for (std::int64_t i = 0; i < 100; ++i) gone.bad[i] = Skip::kMissing;
  EXPECT_EQ(DescribeLack(SampleRecords(gone), "gone", {}, ""), "");
}

TEST_F(RecordSamples, NeverRepeatNamesThatATerminalShouldNotGet) {
  const std::string shard =
      Write("e.tar", 2,
            {{"json", "{\"cap\\u001b[31mtion\": \"x\", \"fine\": \"y\"}"}, {"\x1b[31m", "x"}});
  ExpectLack(shard, "the .json has fine.");
  EXPECT_EQ(Lack(shard).find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace fastclip

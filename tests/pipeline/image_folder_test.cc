#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "pipeline/records/class_names.h"
#include "pipeline/sources/class_folder.h"
#include "pipeline/sources/open_source.h"
#include "tests/pipeline/record_lines.h"
#include "tests/support/memory_files.h"
#include "tests/support/paths.h"
#include "tests/support/without_root.h"

namespace fastclip {
namespace {

namespace fs = std::filesystem;

SourceOptions Labelled() {
  SourceOptions options;
  options.labels = "";
  return options;
}

class ImageFolder : public testing::Test {
 protected:
  void Write(const std::string& path, const std::string& bytes = "x") const {
    fs::create_directories(fs::path(folder_ / path).parent_path());
    WriteFile(folder_ / path, bytes);
  }
  OpenedSource Open(SourceOptions options = Labelled()) const {
    return OpenSourceWithInfo(folder_.path(), options);
  }
  Lines Records(const SourceOptions& options = Labelled()) const {
    return Summary(ReadAll(*Open(options).source));
  }
  std::string Error(const SourceOptions& options = Labelled()) const {
    return ErrorOf([&] { Open(options); });
  }

  TemporaryFolder folder_;
};

constexpr const char* kTree[] = {"dog/b.jpg", "dog/a.PNG",   "cat/z/1.webp", "cat/z-y/2.jpeg",
                                 "cat/k.jpg", "Zebra/1.jpg", "cat/z/a/3.jpg"};

TEST_F(ImageFolder, OfAnotherFileSystemIsTheSame) {
  MemoryFiles memory;
  const AddedFileSystem added("mem", memory);
  for (const char* path : kTree) {
    Write(path, path);
    memory.files[std::string("mem://set/") + path].bytes = path;
  }
  const OpenedSource there = OpenSourceWithInfo("mem://set", Labelled());
  EXPECT_EQ(there.parts[0].kind, "folder of classes");
  EXPECT_EQ(Summary(ReadAll(*there.source)), Records());
  EXPECT_EQ(there.source->hash(), Open().source->hash());
  EXPECT_EQ(ClassesOfList("mem://set"), ClassesOfList(folder_.path()));
  EXPECT_NE(ErrorOf([] {
              OpenSourceWithInfo("mem://set/dog", Labelled());
            }).find("has images but no subfolders"),
            std::string::npos);
}

TEST_F(ImageFolder, HasTheClassesPicturesAndOrderOfTorchvision) {
  // As torchvision.datasets.ImageFolder lists this tree: classes by name, then folders, then files.
  for (const char* path : kTree) Write(path, path);
  EXPECT_EQ(Records(), (Lines{"Zebra/1.jpg|Zebra/1.jpg||0|", "cat/k.jpg|cat/k.jpg||1|",
                              "cat/z/1.webp|cat/z/1.webp||1|", "cat/z-y/2.jpeg|cat/z-y/2.jpeg||1|",
                              "cat/z/a/3.jpg|cat/z/a/3.jpg||1|", "dog/a.PNG|dog/a.PNG||2|",
                              "dog/b.jpg|dog/b.jpg||2|"}));
  const OpenedSource opened = Open();
  EXPECT_EQ(opened.parts[0].kind, "folder of classes");
  EXPECT_EQ(opened.parts[0].files, 7);
  EXPECT_EQ(opened.parts[0].details, "3 classes, numbered by folder name in sorted order");
  EXPECT_TRUE(opened.parts[0].warnings.empty()) << opened.parts[0].warnings[0];
  EXPECT_EQ(opened.source->OriginOf(SampleIndex{1}).file, folder_ / "cat/k.jpg");
  EXPECT_EQ(ClassesOfList(folder_.path()), (std::vector<std::string>{"Zebra", "cat", "dog"}));
  EXPECT_EQ(ClassesOfList(folder_.path().string() + "::synthetic:3"), std::vector<std::string>());
  EXPECT_EQ(Open({}).source->Read(SampleIndex{0}, 1, {}).records[0].skip, Skip::kNoCaption);
}

TEST_F(ImageFolder, CountsWhatItLeavesOut) {
  for (const char* path : {"cat/1.jpg", "cat/.2.jpg", "cat/notes.txt", "cat/3.tif", "cat/4.gif",
                           "cat/none", "dog/1.jpg", ".hidden/1.jpg", "dog/.git/1.jpg", "top.jpg"}) {
    Write(path);
  }
  fs::create_directory(folder_ / "ant");
  fs::create_directory_symlink("..", folder_ / "cat/up");
  fs::create_symlink("nowhere.jpg", folder_ / "dog/broken.jpg");
  fs::create_directory_symlink(folder_ / "dog", folder_ / "wolf");
  ASSERT_EQ(mkfifo((folder_ / "dog/pipe.jpg").c_str(), 0600), 0);
  const OpenedSource opened = Open();
  EXPECT_EQ(Summary(ReadAll(*opened.source)),
            (Lines{"cat/1.jpg|x||1|", "dog/1.jpg|x||2|", "dog/broken.jpg|||2|missing",
                   "wolf/1.jpg|x||3|", "wolf/broken.jpg|||3|missing"}));
  EXPECT_NE(opened.parts[0].details.find("left out: 4 hidden, 1 circular link"), std::string::npos)
      << opened.parts[0].details;
  for (const char* part : {"1 .txt", "1 .tif", "1 .gif", "3 .jpg", "1 of other kinds"}) {
    EXPECT_NE(opened.parts[0].details.find(part), std::string::npos) << opened.parts[0].details;
  }
  ASSERT_EQ(opened.parts[0].warnings.size(), 1u);
  EXPECT_NE(opened.parts[0].warnings[0].find(
                "classes without readable images: 1 of 4 (the first: 'ant')"),
            std::string::npos)
      << opened.parts[0].warnings[0];
  SourceOptions with_gif = Labelled();
  with_gif.formats.Add(PictureFormat::kGif);
  EXPECT_EQ(Open(with_gif).source->size(), 6);
}

TEST_F(ImageFolder, IsRefusedWhereALinkThatMayBeAClassLeadsNowhere) {
  Write("bee/1.jpg");
  fs::create_directory_symlink("/nowhere", folder_ / "ant");
  EXPECT_NE(Error().find("/ant: broken link; repair or remove it"), std::string::npos) << Error();
}

TEST_F(ImageFolder, OfSplitsWithTablesNamesTheTableWhereCaptionsAreMeant) {
  for (const char* path : {"train/1.jpg", "train/metadata.jsonl", "test/2.jpg"}) Write(path);
  EXPECT_NE(Error({}).find("has a table of captions; use '" + folder_.path().string() +
                           "/train/metadata.jsonl'"),
            std::string::npos)
      << Error({});
}

TEST_F(ImageFolder, NamesAFewKindsOfOtherFiles) {
  for (int i = 0; i < 100; ++i) Write(fmt::format("{}/1.jpg", i % 10));
  for (int i = 0; i < 100; ++i) Write(fmt::format("{}/2.{:03}", i % 10, i));
  Write("0/3.\xc3\xa4");
  EXPECT_LT(Open().parts[0].details.size(), 600u);
  EXPECT_NE(Open().parts[0].details.find("70 of other kinds"), std::string::npos)
      << Open().parts[0].details;
}

TEST_F(ImageFolder, FollowsNoLinkBackToWhereItLies) {
  Write("cat/a/1.jpg");
  fs::create_directory_symlink(folder_ / "cat", folder_ / "cat/a/again");
  fs::create_directory_symlink(folder_.path(), folder_ / "cat/all");
  EXPECT_LT(Open().source->size(), 100);
  EXPECT_NE(Open().parts[0].details.find("circular links"), std::string::npos)
      << Open().parts[0].details;
}

TEST_F(ImageFolder, TakesLabelsFromAListOfClassesByNameElseByPlace) {
  for (const char* path : {"cat/1.jpg", "dog_s/1.jpg", "emu/1.jpg"}) Write(path);
  SourceOptions options = Labelled();
  const auto with = [&](const std::vector<std::string>& names) {
    options.class_names = std::make_shared<ClassNames>(names);
    return options;
  };
  EXPECT_EQ(Records(with({"emu", "Dog s", "cat"})),
            (Lines{"cat/1.jpg|x||2|", "dog_s/1.jpg|x||1|", "emu/1.jpg|x||0|"}));
  EXPECT_EQ(Records(with({"emu", "cat"})),
            (Lines{"cat/1.jpg|x||1|", "dog_s/1.jpg|x||-1|bad_label", "emu/1.jpg|x||0|"}));
  EXPECT_EQ(options.class_names->DescribeUnknown(), "'dog_s' is not a class name");
  EXPECT_EQ(Records(with({"tench", "goldfish", "shark"})),
            (Lines{"cat/1.jpg|x||0|", "dog_s/1.jpg|x||1|", "emu/1.jpg|x||2|"}));
  EXPECT_NE(Error(with({"tench", "goldfish"})).find("number of classes: 2)"), std::string::npos);
}

TEST_F(ImageFolder, IsRefusedWhereItIsNone) {
  EXPECT_NE(Error().find("has no subfolders"), std::string::npos) << Error();
  Write("a.jpg");
  EXPECT_NE(Error().find("has images but no subfolders"), std::string::npos) << Error();
  EXPECT_NE(Error().find("/pairs.csv'"), std::string::npos) << Error();
  Write("metadata.jsonl");
  EXPECT_NE(Error().find("/metadata.jsonl'"), std::string::npos) << Error();
  fs::remove(folder_ / "metadata.jsonl");
  Write("0.tar");
  EXPECT_NE(Error().find("/*.tar'"), std::string::npos) << Error();
  Write("cat/1.jpg");
  EXPECT_EQ(Error(), "");
  SourceOptions captions;
  captions.captions = ParseCaptionKeys(std::vector<std::string>{"txt"}, {});
  EXPECT_NE(Error(captions).find("has no captions"), std::string::npos);
  SourceOptions key;
  key.labels = "json.x";
  EXPECT_NE(Error(key).find("leave out the label key"), std::string::npos);
  SourceOptions checksums;
  checksums.add_checksums = true;
  EXPECT_NE(Error(checksums).find("no checksums"), std::string::npos);
}

TEST_F(ImageFolder, WarnsOfAFolderTooFarUp) {
  for (const char* path : {"train/cat/1.jpg", "val/cat/1.jpg"}) Write(path);
  ASSERT_EQ(Open().parts[0].warnings.size(), 1u);
  EXPECT_NE(Open().parts[0].warnings[0].find("/train'?"), std::string::npos);
}

TEST_F(ImageFolder, NamesAClassThatChangedAndAFolderThatCannotBeRead) {
  for (int i = 0; i < 100; ++i) Write(fmt::format("c{}/1.jpg", i));
  const OpenedSource opened = Open();
  Write("c99/2.jpg");
  EXPECT_NE(ErrorOf([&] { ReadAll(*opened.source); }).find("c99: changed since it was opened"),
            std::string::npos);
  EXPECT_NE(Open().source->hash(), opened.source->hash());
  fs::permissions(folder_.path(), fs::perms(0755));
  fs::permissions(folder_ / "c7", fs::perms::none);
  {
    const WithoutRoot user;
    EXPECT_NE(Error().find("c7: the folder cannot be read: Permission denied"), std::string::npos)
        << Error();
  }
  fs::permissions(folder_ / "c7", fs::perms::owner_all);
}

}  // namespace
}  // namespace fastclip

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "pipeline/convert/convert_folder.h"
#include "pipeline/pixels/encode.h"
#include "tests/pipeline/shard_files.h"
#include "tests/support/fake_source.h"
#include "tests/support/paths.h"

namespace fastclip {
namespace {

class CommandLine : public testing::Test {
 protected:
  /// The exit code of the program as a shell runs it.
  int Run(const std::string& words, const std::string& before = "true") {
    const std::string command =
        before + "; '" FASTCLIP_BINARY "' " + words + " 2> '" + (folder_ / "err") + "'";
    const int status = std::system(command.c_str());
    errors_ = ReadFile(folder_ / "err");
    return WEXITSTATUS(status);
  }
  void ExpectRefused(const std::string& words, const std::string& reason) {
    EXPECT_EQ(Run(words), 2) << words;
    EXPECT_NE(errors_.find(reason), std::string::npos) << errors_;
    EXPECT_EQ(std::count(errors_.begin(), errors_.end(), '\n'), 1) << errors_;
  }

  TemporaryFolder folder_;
  std::string errors_;
};

TEST_F(CommandLine, NamesTheKeysOfAllUnknownOptionsAtOnce) {
  EXPECT_EQ(Run("train configs/quickstart.toml --lr 1e-3 --batch-size 64 --epochs=3"), 2);
  for (const char* part : {"\n  --lr; did you mean learning_rate.lr?", "\n  --batch-size; ",
                           "\n  --epochs; did you mean train.epochs?"}) {
    EXPECT_NE(errors_.find(part), std::string::npos) << errors_;
  }
  ExpectRefused("train pairs.csv", "pairs.csv is data, not a config");
  EXPECT_EQ(Run("train --lr 1e-3 --epochs=3"), 2);
  EXPECT_NE(errors_.find("CONFIG is missing"), std::string::npos) << errors_;
}

TEST_F(CommandLine, SuggestsCommandsWithTheProgramAsItWasTyped) {
  const std::string binary = FASTCLIP_BINARY;
  ExpectRefused("shards inof", "? " + binary + " shards --help lists the commands");
  ExpectRefused("shards lint --max-pixel 3 x", "see " + binary + " shards lint --help");
  EXPECT_EQ(Run("shards lint --help > " + (folder_ / "help")), 0);
  const std::string help = ReadFile(folder_ / "help");
  EXPECT_NE(help.find("example: " + binary + " shards lint"), std::string::npos) << help;
  EXPECT_NE(help.find("Usage: " + binary + " shards lint"), std::string::npos) << help;
  // Found by PATH.
  std::filesystem::create_symlink(binary, folder_ / "fastclip");
  const std::string found =
      "PATH=" + folder_.path().string() + ":$PATH fastclip shards inof 2> " + (folder_ / "err");
  EXPECT_EQ(WEXITSTATUS(std::system(found.c_str())), 2);
  EXPECT_NE(ReadFile(folder_ / "err").find("? fastclip shards --help lists"), std::string::npos);
}

TEST_F(CommandLine, SaysThatTheConfigIsMissingAndWhatStandsInItsPlace) {
  ExpectRefused("train data.train=/d/train.csv learning_rate.lr=5e-4",
                "CONFIG is missing; keys come after it: " FASTCLIP_BINARY
                " train "
                "configs/own-data/vit-b-32.toml data.train=/d/train.csv learning_rate.lr=5e-4");
  ExpectRefused("config check 'data.train=a b.tar'",
                "fastclip config check configs/own-data/vit-b-32.toml 'data.train=a b.tar'");
  ExpectRefused("train pairs.csv.gz run=a",
                "configs/own-data/vit-b-32.toml data.train=pairs.csv.gz run=a");
  WriteFile(folder_ / "w.pt", "PK\x03\x04rest");
  ExpectRefused("train " + (folder_ / "w.pt") + " resume=true", "is a PyTorch checkpoint");
  EXPECT_EQ(Run("eval retrieval " + (folder_ / "w.pt") + " --shards synthetic:4"), 1);
  EXPECT_NE(errors_.find("is a PyTorch checkpoint"), std::string::npos) << errors_;
}

TEST_F(CommandLine, NamesTheUnknownOptionBeforeTheMissingOne) {
  ExpectRefused("eval retrieval run --data x", "unknown option --data; did you mean --shards?");
  ExpectRefused("eval retrieval run --shard x", "unknown option --shard; did you mean --shards?");
  ExpectRefused("eval retrieval run", "--shards is required");
}

TEST_F(CommandLine, NamesTheKeyOfAListThatCannotBeOpened) {
  const std::string train =
      "train configs/quickstart.toml --dry-run train.device=cpu run=" + (folder_ / "run") +
      " data.train=";
  WriteFile(folder_ / "t.csv", "pic,alt\nx.jpg,y\n");
  ExpectRefused(train + (folder_ / "t.csv"),
                "the command line: data.train: " + (folder_ / "t.csv") + ": the first line has");
  EXPECT_NE(errors_.find("; set it with data.image_key=COLUMN"), std::string::npos) << errors_;
  EXPECT_EQ(Run(train + "synthetic:1000 'data.val=none/*.tar'"), 1);
  EXPECT_NE(errors_.find("data.val: no file matches 'none/*.tar' (relative to /"),
            std::string::npos)
      << errors_;
  EXPECT_NE(errors_.find("; set data.val to held-out data, or data.val= for none"),
            std::string::npos)
      << errors_;
  EXPECT_EQ(errors_.find("'none/*.tar'"), errors_.rfind("'none/*.tar'")) << errors_;
}

TEST_F(CommandLine, RefusesNumbersThatWouldWrapOrSwamp) {
  const std::string replay = "shards replay synthetic:100 --seed 1 --epoch 0 ";
  ExpectRefused(replay + "--world 1 --batch 4294967304", "--batch");
  ExpectRefused(replay + "--world 1 --batch 0", "--batch");
  ExpectRefused(replay + "--world 0 --batch 8", "--world");
  ExpectRefused(replay + "--world 1 --batch 8 --size 100000", "--size");
  ExpectRefused(replay + "--world 1 --batch 8 --threads 257", "--threads");
  ExpectRefused("shards convert synthetic:10 out --threads 100000", "--threads");
  ExpectRefused("shards lint synthetic:10 --formats jpeg,tiff", "'tiff'");
  ExpectRefused("bench pipeline --shards synthetic:10 --pixels quick", "--pixels");
  ExpectRefused("train configs/quickstart.toml pipeline.threads=257", "pipeline.threads");
  ExpectRefused("train configs/quickstart.toml train.threads=257", "train.threads");
}

TEST_F(CommandLine, SaysInPlainWordsWhatIsWrongWithAnOption) {
  const std::string replay = "shards replay synthetic:100 --seed 1 --epoch 0 --batch 8 ";
  ExpectRefused("shards convert a.tsv out --encode webp",
                "--encode must be jpg or png, not 'webp'; see " FASTCLIP_BINARY
                " shards convert --help");
  ExpectRefused("shards convert a.tsv out --max-bytes 5XB",
                "--max-bytes must be a number of bytes, as in 256MB or 80GiB, not '5XB'");
  ExpectRefused("bench pipeline --shards synthetic:9 --memory much",
                "--memory must be a number of bytes, as in 256MB or 80GiB, not 'much'");
  ExpectRefused("shards convert a.tsv", "OUT_DIR is required");
  ExpectRefused(replay + "--threads 300", "--threads must be an integer from 1 to 256, not '300'");
  ExpectRefused(replay + "--from -1", "--from must be an integer of at least 0, not '-1'");
  ExpectRefused(replay + "--tail x", "--tail must be drop, pad or carry, not 'x'");
  ExpectRefused(replay + "--weights 1,x", "--weights: '1,x' is not a valid number");
  ExpectRefused(replay + "--lanes x", "--lanes: 'x' is not a valid integer");
  ExpectRefused(replay + "--size 8 --size 9", "--size takes one value; set it once");
  ExpectRefused(replay + "--size", "--size needs a value");
  ExpectRefused(replay + "--verify=x", "--verify takes no value");
  ExpectRefused(replay + "--thread 3", "unknown option --thread; did you mean --threads? see");
  ExpectRefused(replay + "more", "unexpected argument 'more'");
}

TEST_F(CommandLine, TakesAMalformedTokenizerForWrongUse) {
  ExpectRefused("tokenize --tokenizer bert < /dev/null", "sentencepiece:MODEL");
  ExpectRefused("eval retrieval run --shards synthetic:5 --tokenizer clip:", "sentencepiece:MODEL");
  ExpectRefused("shards replay synthetic:99 --seed 1 --epoch 0 --world 1 --batch 8 --tokenizer x:y",
                "sentencepiece:MODEL");
  ExpectRefused("train configs/quickstart.toml data.tokenizer=bert", "sentencepiece:MODEL");
}

TEST_F(CommandLine, TakesAFolderInPlaceOfAConfigForWrongUse) {
  ExpectRefused("train " + folder_.path().string(), "is a folder");
}

TEST_F(CommandLine, FailsWhereItsOutputCannotBeWritten) {
  for (const char* words :
       {"--help", "train --help", "shards info synthetic:5", "shards info synthetic:5 --json"}) {
    EXPECT_EQ(Run(std::string(words) + " > /dev/full"), 1) << words;
    EXPECT_NE(errors_.find("output cannot be written"), std::string::npos) << errors_;
  }
  EXPECT_EQ(Run("--help > /dev/null"), 0);
}

TEST_F(CommandLine, EndsQuietlyWhereNobodyReadsItsOutput) {
  const std::string replay =
      "shards replay synthetic:2000 --seed 1 --epoch 0 --world 1 --batch 2 --size 8 --threads 1";
  EXPECT_EQ(std::system(("bash -c \"set -o pipefail; '" FASTCLIP_BINARY "' " + replay + " 2>'" +
                         (folder_ / "err") + "' | head -1 >/dev/null\"")
                            .c_str()) >>
                8,
            141);
  EXPECT_EQ(ReadFile(folder_ / "err"), "");
}

TEST_F(CommandLine, WritesNoMessageIntoAFileWhereDescriptorsAreClosed) {
  WriteShard(folder_ / "0.tar", PlainMembers(40));
  const std::string lint =
      "shards lint '" + (folder_ / "0.tar") + "' --out '" + (folder_ / "bad.jsonl") + "'";
  Run(lint + " <&- >&- 2>&-; true");
  std::ifstream file(folder_ / "bad.jsonl");
  int lines = 0;
  for (std::string line; std::getline(file, line); ++lines) {
    EXPECT_TRUE(nlohmann::json::accept(line)) << line;
  }
  EXPECT_EQ(lines, 40);
  EXPECT_EQ(Run("--help >&-"), 1) << "the help was asked for, and nobody got it";
  EXPECT_NE(errors_.find("standard output cannot be written"), std::string::npos) << errors_;
  EXPECT_EQ(Run("shards info synthetic:5 > /dev/null; true", "exec 2>&-"), 0);
}

TEST_F(CommandLine, SaysWhatIsWrongWithTheShardsThatItReplays) {
  WriteShard(folder_ / "0.tar", PlainMembers(40));
  std::filesystem::resize_file(folder_ / "0.tar",
                               std::filesystem::file_size(folder_ / "0.tar") / 2);
  Run("shards replay " + (folder_ / "0.tar") + " --seed 1 --epoch 0 --world 1 --batch 4 --steps 1");
  EXPECT_NE(errors_.find("truncated (no end-of-archive mark)"), std::string::npos) << errors_;
}

TEST_F(CommandLine, ReplaysAMixOnAnyWorldAndFromAnyBatch) {
  const auto replay = [&](const std::string& words) {
    EXPECT_EQ(
        Run("shards replay synthetic:150::synthetic:61 --seed 1 --epoch 2 --batch 16 --size 32 "
            "--context 16 --repeats 1,2 --tail carry " +
            words + " > " + (folder_ / "out")),
        0)
        << errors_;
    return ReadFile(folder_ / "out");
  };
  const std::string whole = replay("--world 1 --threads 1");
  EXPECT_EQ(std::count(whole.begin(), whole.end(), '\n'), 17);
  EXPECT_EQ(replay("--world 2 --threads 2"), whole);
  EXPECT_EQ(replay("--world 4 --threads 1"), whole);
  EXPECT_TRUE(whole.ends_with(replay("--world 3 --threads 8 --from 11")));
  ExpectRefused(
      "shards replay synthetic:9::synthetic:9 --seed 1 --epoch 0 --world 1 --batch 4 "
      "--weights 1,2,3",
      "3 weights for 2 sources");
  ExpectRefused("shards replay synthetic:99 --seed 1 --epoch 0 --world 1 --batch 4 --tail roll",
                "--tail");
}

TEST_F(CommandLine, TakesASetOfLabelsForWhatItIs) {
  Members members;
  for (int i = 0; i < 30; ++i) {
    members.emplace_back(std::to_string(i) + ".png", AsString(PngOf(i)));
    members.emplace_back(std::to_string(i) + ".cls", i == 7 ? "" : std::to_string(i % 5));
  }
  const std::string shard = folder_ / "l.tar";
  WriteShard(shard, members);
  EXPECT_EQ(Run("shards info " + shard + " > " + (folder_ / "out")), 0) << errors_;
  EXPECT_NE(ReadFile(folder_ / "out").find("content   images with labels (0 to 4), no captions\n"),
            std::string::npos)
      << ReadFile(folder_ / "out");
  EXPECT_EQ(Run("shards lint " + shard + " > " + (folder_ / "out")), 1);
  EXPECT_NE(ReadFile(folder_ / "out")
                .find("30 records, 29 healthy; bad: 1 no_label (checked for labels, not captions)"),
            std::string::npos)
      << ReadFile(folder_ / "out");
  members[15].second = "1";
  WriteShard(shard, members);
  EXPECT_EQ(Run("shards index " + shard + " > " + (folder_ / "out")), 0) << errors_;
  EXPECT_EQ(Run("shards lint " + shard + " --json > " + (folder_ / "out")), 0) << errors_;
  EXPECT_EQ(errors_, "");
  EXPECT_EQ(
      ReadFile(folder_ / "out"),
      "{\"records\":30,\"healthy\":30,\"bad\":{},\"warnings\":[],\"judged_by\":\"labels\"}\n");
  EXPECT_EQ(Run("shards lint " + shard + " --captions txt > " + (folder_ / "out")), 1);
  EXPECT_EQ(Run("shards lint synthetic:9 --labels > " + (folder_ / "out")), 0) << errors_;
}

TEST_F(CommandLine, SaysWhatAFolderOfClassesHasNot) {
  std::filesystem::create_directories(folder_ / "set/ant");
  WriteFile(folder_ / "set/ant/1.png", AsString(PngOf(1)));
  EXPECT_EQ(Run("shards index " + (folder_ / "set")), 1);
  EXPECT_NE(errors_.find("a folder of classes needs no index"), std::string::npos) << errors_;
  EXPECT_EQ(Run("shards info " + (folder_ / "set") + " --manifest " + (folder_ / "m") + " > " +
                (folder_ / "out")),
            0)
      << errors_;
  EXPECT_NE(ReadFile(folder_ / "out").find("  files     1\n"), std::string::npos);
  EXPECT_NE(ReadFile(folder_ / "out").find("it has no manifest"), std::string::npos);
  ExpectRefused("shards lint synthetic:9 --labels --captions txt",
                "cannot be combined with --captions");
}

TEST_F(CommandLine, LintsShards) {
  WriteShard(folder_ / "0.tar", PlainMembers(40));
  EXPECT_EQ(Run("shards lint " + (folder_ / "0.tar") + " --json > " + (folder_ / "out")), 1)
      << "its pictures are none";
  EXPECT_EQ(ReadFile(folder_ / "out"),
            "{\"records\":40,\"healthy\":0,\"bad\":{\"undecodable\":40},\"warnings\":[]}\n");
  EXPECT_EQ(Run("shards lint " + (folder_ / "0.tar") + " --out " + (folder_ / "bad.jsonl") + " > " +
                (folder_ / "out")),
            1);
  const std::string bad = ReadFile(folder_ / "bad.jsonl");
  EXPECT_EQ(std::count(bad.begin(), bad.end(), '\n'), 40);
  EXPECT_NE(bad.find("\"offset\":0,\"index\":0,"), std::string::npos) << bad;
  EXPECT_NE(ReadFile(folder_ / "out").find("and 20 more; --out FILE lists all"), std::string::npos);
  EXPECT_EQ(Run("shards lint synthetic:50 --json > " + (folder_ / "out")), 0);
  EXPECT_EQ(ReadFile(folder_ / "out"),
            "{\"records\":50,\"healthy\":50,\"bad\":{},\"warnings\":[]}\n");
  std::filesystem::resize_file(folder_ / "0.tar",
                               std::filesystem::file_size(folder_ / "0.tar") / 2);
  EXPECT_EQ(Run("shards lint " + (folder_ / "0.tar") + " > " + (folder_ / "out")), 1);
  EXPECT_NE(errors_.find("changed since it was indexed"), std::string::npos) << errors_;
  EXPECT_EQ(Run("shards index " + (folder_ / "0.tar") + " > " + (folder_ / "out")), 0);
  EXPECT_EQ(Run("shards lint " + (folder_ / "0.tar") + " > " + (folder_ / "out")), 1);
  EXPECT_NE(errors_.find("truncated (no end-of-archive mark)"), std::string::npos) << errors_;
}

TEST_F(CommandLine, TakesTheColumnsOfTablesAsNamed) {
  const std::string table = folder_ / "t.csv";
  WriteFile(table, "pic;alt\n0.jpg;a cat\n");
  WriteFile(folder_ / "0.jpg", "no picture");
  ExpectRefused("shards info " + table, "; set it with --image-key COLUMN");
  const std::string keys =
      " --image-key pic --caption-key alt --separator ';' > " + (folder_ / "o");
  EXPECT_EQ(Run("shards info " + table + keys), 0) << errors_;
  EXPECT_NE(ReadFile(folder_ / "o").find("image from 'pic', captions from 'alt'"),
            std::string::npos);
  EXPECT_EQ(Run("shards index " + table + keys), 0) << errors_;
  EXPECT_EQ(Run("shards lint " + table + keys), 1);
  EXPECT_NE(ReadFile(folder_ / "o").find("bad: 1 "), std::string::npos);
  ExpectRefused("shards info " + table + " --separator ab", "--separator 'ab'");
  ExpectRefused("train configs/quickstart.toml data.separator=ab", "data.separator");
}

TEST_F(CommandLine, LintsHealthyShardsWhereNoIndexCanBeWritten) {
  // With more behind it, no file may have that name.
  const std::string shard = folder_ / std::string(247, 'a') + ".tar";
  WriteShard(folder_ / "a",
             {{"a.png", AsString(EncodePng({1, 1, {1, 2, 3}}))}, {"a.txt", "a dot"}});
  std::filesystem::rename(folder_ / "a", shard);
  EXPECT_EQ(Run("shards lint " + shard + " > " + (folder_ / "out")), 0) << errors_;
  EXPECT_NE(errors_.find("the manifest cannot be saved"), std::string::npos) << errors_;
  EXPECT_EQ(Run("shards lint --json " + shard + " > " + (folder_ / "out")), 0) << errors_;
  EXPECT_EQ(ReadFile(folder_ / "out"),
            "{\"records\":1,\"healthy\":1,\"bad\":{},\"warnings\":[]}\n");
}

TEST_F(CommandLine, NeverWritesOverItsInputOrSomebodysFile) {
  const std::string shard = folder_ / "0.tar";
  WriteShard(shard, PlainMembers(3));
  const std::string bytes = ReadFile(shard);
  EXPECT_EQ(Run("shards lint " + shard + " --out " + shard), 1);
  EXPECT_NE(errors_.find("0.tar: exists and is not a list of bad records"), std::string::npos)
      << errors_;
  EXPECT_EQ(Run("shards index " + shard + " --manifest " + shard), 1);
  EXPECT_NE(errors_.find("is not a manifest"), std::string::npos) << errors_;
  WriteFile(folder_ / "captions", "\na cat <unk>\n");
  EXPECT_EQ(Run("tokenizer train --input " + (folder_ / "captions") + " --model " +
                (folder_ / "captions")),
            1);
  EXPECT_NE(errors_.find("captions: is an input of this command"), std::string::npos) << errors_;
  EXPECT_EQ(Run("tokenizer train --input /dev/null --model " + shard), 1);
  EXPECT_NE(errors_.find("is not a SentencePiece model"), std::string::npos) << errors_;
  EXPECT_EQ(ReadFile(shard), bytes);

  // To a stream it writes, twice to one file, and through a link.
  EXPECT_EQ(Run("shards lint " + shard + " --out - > " + (folder_ / "out")), 1);
  const std::string lines = ReadFile(folder_ / "out");
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 3) << lines;
  EXPECT_NE(errors_.find("3 records, 0 healthy"), std::string::npos) << errors_;
  std::filesystem::create_symlink("bad", folder_ / "link");
  for (const char* name : {"bad", "bad", "link"}) {
    EXPECT_EQ(Run("shards lint " + shard + " --out " + (folder_ / name) + " > /dev/null"), 1);
    EXPECT_EQ(ReadFile(folder_ / "bad"), lines) << errors_;
  }
  EXPECT_TRUE(std::filesystem::is_symlink(folder_ / "link"));
  EXPECT_EQ(Run("shards lint " + shard + " --out /dev/full > /dev/null"), 1);
  EXPECT_NE(errors_.find("/dev/full: No space left on device"), std::string::npos) << errors_;
  // A manifest goes where a link points to.
  std::filesystem::create_symlink("real", folder_ / "manifest");
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(
        Run("shards index " + shard + " --manifest " + (folder_ / "manifest") + " > /dev/null"), 0)
        << errors_;
    EXPECT_TRUE(std::filesystem::is_symlink(folder_ / "manifest"));
    EXPECT_TRUE(std::filesystem::is_regular_file(folder_ / "real"));
  }
}

TEST_F(CommandLine, ConvertsIntoAFolderOnceAtATime) {
  const std::string out = folder_ / "out", convert = "shards convert synthetic:3 " + out;
  {
    const ConvertFolder held(out);
    EXPECT_EQ(Run(convert), 1);
    EXPECT_NE(errors_.find("another fastclip shards convert is writing to it"), std::string::npos)
        << errors_;
    EXPECT_EQ(std::count(errors_.begin(), errors_.end(), '\n'), 1) << errors_;
  }
  // One that was killed.
  std::filesystem::create_directory(out + ".unfinished");
  WriteFile(out + ".unfinished/convert.lock", "process 1 on host\n");
  WriteFile(out + ".unfinished/00000.tar", "left");
  EXPECT_EQ(Run(convert + " > /dev/null"), 0) << errors_;
  EXPECT_NE(errors_.find("removed 1 file left by an earlier convert"), std::string::npos)
      << errors_;
  EXPECT_EQ(Run("shards lint '" + out + "/*.tar' > /dev/null"), 0) << errors_;
  EXPECT_EQ(Run("shards convert '" + out + "/*.tar' " + out), 1);
  EXPECT_NE(errors_.find("is not empty"), std::string::npos) << errors_;
  // Into the working folder.
  std::filesystem::create_directory(folder_ / "here");
  EXPECT_EQ(Run("shards convert '" + out + "/*.tar' . > /dev/null", "cd " + (folder_ / "here")), 0)
      << errors_;
  EXPECT_TRUE(std::filesystem::exists(folder_ / "here/00000.tar"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "here/convert.unfinished"));
}

TEST_F(CommandLine, VerifiesShards) {
  const std::string shard = folder_ / "0.tar", verify = "shards lint --verify " + shard;
  WriteShard(shard, PlainMembers(40));
  const std::string replay =
      "shards replay --verify " + shard + " --seed 1 --epoch 0 --world 1 --batch 8";
  for (const std::string& words : {verify, replay}) {
    EXPECT_EQ(Run(words), 1);
    EXPECT_NE(errors_.find("0.tar: no checksums for its current records"), std::string::npos)
        << errors_;
    EXPECT_NE(errors_.find("fastclip shards index --checksum '" + shard + "'"), std::string::npos);
  }
  EXPECT_EQ(Run("shards index --checksum " + shard + " > " + (folder_ / "out")), 0);
  EXPECT_NE(ReadFile(folder_ / "out").find("checksums of all records"), std::string::npos);
  std::string bytes = ReadFile(shard);
  bytes.at(bytes.find("caption of 1007")) = 'C';
  WriteFile(shard, bytes);
  EXPECT_EQ(Run(verify + " --json > " + (folder_ / "out")), 1);
  EXPECT_EQ(ReadFile(folder_ / "out"),
            "{\"records\":40,\"healthy\":0,\"bad\":{\"undecodable\":39,\"changed\":1},\"warnings\":"
            "[]}\n");
  Run("shards info --json " + shard + " > " + (folder_ / "out"));
  EXPECT_NE(ReadFile(folder_ / "out").find("\"checksummed\":1"), std::string::npos);
}

TEST_F(CommandLine, ReplaysARunAsItsConfigSays) {
  const auto write = [&](const std::string& more) {
    WriteFile(folder_ / "run.toml",
              "run = \"" + (folder_ / "run") +
                  "\"\n[train]\nbatch_size = 16\nseed = 5\n[data]\ntrain = \"synthetic:200\"\n"
                  "[model]\nname = \"tiny\"\n[objective]\nname = \"fastclip_v1\"\n"
                  "mode = \"exact\"\n" +
                  more);
  };
  const auto replay = [&](const std::string& words) {
    EXPECT_EQ(Run("shards replay " + words + " --epoch 1 --steps 3 > " + (folder_ / "out")), 0)
        << errors_;
    return ReadFile(folder_ / "out");
  };
  write("");
  const std::string lines = replay(folder_ / "run.toml");
  EXPECT_EQ(lines, replay("synthetic:200 --seed 5 --batch 16 --size 64 --context 77"));
  EXPECT_EQ(lines, replay((folder_ / "run.toml") + " --world 2 --threads 1"));
  write("[pipeline]\nscale_min = 0.1\n");  // which no option says
  const std::string other = replay(folder_ / "run.toml");
  EXPECT_NE(other, lines);
  EXPECT_EQ(other.substr(0, 18), lines.substr(0, 18));  // the same records
  EXPECT_FALSE(std::filesystem::exists(folder_ / "run"));
  ExpectRefused("shards replay " + (folder_ / "run.toml") + " --epoch 0 --batch 8",
                "--batch cannot be combined with a run or config");
  ExpectRefused("shards replay synthetic:20 --epoch 0 --batch 8",
                "is not a run folder or CONFIG.toml; set --seed and --batch");
  ExpectRefused("shards replay " + (folder_ / "run.toml") + " --epoch 30",
                "--epoch must be from 0 to 29");
  ExpectRefused("shards replay synthetic:20 --epoch 0 --batch 8 --seed 1 --steps 0", "--steps");
  EXPECT_EQ(Run("shards replay synthetic:20 --epoch 0 --batch 8 --seed 1 --verify"), 1);
  EXPECT_NE(errors_.find("checksums are for tar shards"), std::string::npos);
}

TEST_F(CommandLine, ShowsChecksAndComparesConfigs) {
  const std::string mine = folder_ / "mine.toml", out = folder_ / "out";
  ASSERT_EQ(Run("config defaults > " + mine), 0) << errors_;
  EXPECT_NE(ReadFile(mine).find("\nlr = 0.001\n"), std::string::npos);
  EXPECT_NE(ReadFile(mine).find("\n# SET THIS: mode = "), std::string::npos) << ReadFile(mine);
  ExpectRefused("config check " + mine, "objective.mode");  // has no default
  const std::string check =
      "config check " + mine + " objective.mode=exact data.train=a.tar run=a ";
  ASSERT_EQ(Run(check + "optimizer.name=lion optimizer.eps=1e-3 > " + out), 0) << errors_;
  EXPECT_NE(ReadFile(out).find("optimizer.eps has no effect"), std::string::npos) << ReadFile(out);
  EXPECT_NE(ReadFile(out).find("keys set; no errors (data not checked)"), std::string::npos);
  ExpectRefused(check + "train.lr=1", "learning_rate.lr");
  ExpectRefused(check + "data.lanes=7", "data.lanes 7 does not divide batch_size");
  ExpectRefused(check + "data.weights=[1,2]", "a mix needs at least two sources");

  ASSERT_EQ(Run("config diff configs/quickstart.toml configs/quickstart.toml > " + out), 0);
  EXPECT_EQ(ReadFile(out), "no keys differ\n");
  std::string changed = ReadFile("configs/quickstart.toml");
  changed.replace(changed.find("epochs = 10"), 11, "epochs = 12");
  changed.replace(changed.find("batch_size = 64"), 15, "batch_size = 96");
  WriteFile(folder_ / "changed.toml", changed);
  ASSERT_EQ(Run("config diff configs/quickstart.toml " + (folder_ / "changed.toml") + " > " + out),
            0);
  EXPECT_EQ(ReadFile(out),
            "train.epochs 10 → 12 (changes results)\n"
            "train.batch_size 64 → 96 (refused on resume, unless the result is the same)\n");
  ASSERT_EQ(Run("config keys > " + out), 0);
  EXPECT_NE(ReadFile(out).find("learning_rate.lr "), std::string::npos);
  EXPECT_NE(ReadFile(out).find("also: "), std::string::npos);
  ASSERT_EQ(Run("config keys warmup_steps > " + out), 0) << errors_;  // OpenCLIP's name
  EXPECT_EQ(ReadFile(out),
            "learning_rate.warmup = 0\n"
            "    an integer from 0 to 1000000000000; if it changes on resume: changes results; also: "
            "warmup_steps\n"
            "    Warmup steps: the rate rises linearly to lr.\n");
  EXPECT_EQ(Run("config keys warmup-steps > " + out), 0) << errors_;
  ASSERT_EQ(Run("config keys crops > " + out), 0) << errors_;  // of an explanation
  EXPECT_NE(ReadFile(out).find("pipeline.scale_min = "), std::string::npos);
  ExpectRefused("config keys nothing-like-it", "no key contains 'nothing_like_it'");
  ExpectRefused("config keys torchcompile", "OpenCLIP's --torchcompile has no counterpart");
  ExpectRefused("train configs/quickstart.toml --accum-freq 4",
                "unknown option --accum-freq; keys are set as section.key=value; did you "
                "mean train.micro_batches?");
  ExpectRefused("config check configs/quickstart.toml data.train=synthetic:10", "10 records");
}

TEST_F(CommandLine, ReplaysRunsWithReplacement) {
  const std::string replay =
      "shards replay synthetic:200 --seed 1 --epoch 1 --batch 16 --size 16 --resampled "
      "--epoch-samples 100 ";
  ASSERT_EQ(Run(replay + "--world 1 > " + (folder_ / "one")), 0) << errors_;
  ASSERT_EQ(Run(replay + "--world 2 --threads 2 > " + (folder_ / "two")), 0) << errors_;
  const std::string lines = ReadFile(folder_ / "one");
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 6);
  EXPECT_EQ(ReadFile(folder_ / "two"), lines);
  ExpectRefused(replay + "--world 1 --tail pad", "data.tail = pad");
}

TEST_F(CommandLine, MeasuresTheLoaderAgainstItsKernels) {
  const std::string bench =
      "bench pipeline --shards synthetic:300 --size 64 --batch 16 --seconds 0 ";
  ASSERT_EQ(Run(bench + "--json > " + (folder_ / "out")), 0) << errors_;
  const auto result = nlohmann::json::parse(ReadFile(folder_ / "out"));
  for (const char* name : {"samples_per_second", "decode_only_per_second",
                           "kernels_only_per_second", "cpu_ms_per_sample", "peak_rss_mb"}) {
    EXPECT_GT(result.at(name), 0) << name;
  }
  for (const char* name : {"of_decode_only", "of_kernels_only"}) {
    EXPECT_LE(result.at(name).at("quartiles").at(0), result.at(name).at("median"));
    EXPECT_GE(result.at(name).at("quartiles").at(1), result.at(name).at("median"));
  }
  for (const char* stage : {"read", "decode", "resize", "tokenize"}) {
    EXPECT_GT(result.at("stages").at(stage).at("ms_per_sample"), 0) << stage;
  }
  EXPECT_GE(result.at("probes").at("per_sample"), 3);
  EXPECT_GT(result.at("probes").at("share_of_cpu"), 0);
  ASSERT_EQ(Run(bench + " > " + (folder_ / "out")), 0) << errors_;
  EXPECT_NE(ReadFile(folder_ / "out").find("kernels alone"), std::string::npos);
  ExpectRefused(bench + "--memory 1000", "pipeline.memory");
  ExpectRefused("bench pipeline --shards synthetic:30 --batch 64", "batch");
}

TEST_F(CommandLine, MeasuresTokenizers) {
  WriteFile(folder_ / "captions.txt", "a photo of a cat\n\ntwo dogs, one bone\n");
  ASSERT_EQ(Run("bench tokenizer --captions " + (folder_ / "captions.txt") + " --json > " +
                (folder_ / "out")),
            0)
      << errors_;
  const auto result = nlohmann::json::parse(ReadFile(folder_ / "out"));
  EXPECT_EQ(result.at("captions"), 2);
  EXPECT_GT(result.at("median_us"), 0);
  EXPECT_EQ(Run("bench tokenizer --captions /dev/null"), 1);
  EXPECT_NE(errors_.find("no captions"), std::string::npos) << errors_;
}

// Without the library, without a GPU: never a crash.
TEST_F(CommandLine, SaysWhatIsMissingForTrainingOnAGpu) {
  if (std::filesystem::exists("/dev/nvidia0")) GTEST_SKIP() << "this machine has a GPU";
  EXPECT_EQ(Run("train configs/quickstart.toml train.device=cuda data.train=synthetic:200 "
                "data.val= run=" +
                (folder_ / "run")),
            1);
  EXPECT_NE(errors_.find("train.device = \"cuda\""), std::string::npos) << errors_;
  EXPECT_EQ(std::count(errors_.begin(), errors_.end(), '\n'), 1) << errors_;
}

/// The program with a driver that says what a test tells it.
class FakeGpus : public CommandLine {
 protected:
  void SetUp() override {
    const std::filesystem::path folder = std::filesystem::path(FASTCLIP_BINARY).parent_path();
    if (!std::filesystem::exists(folder / "libfastclip_nccl.so")) {
      GTEST_SKIP() << "built without CUDA";
    }
  }
  int RunWith(const std::string& driver, const std::string& words) {
    return Run(words + " > " + (folder_ / "out"),
               "export LD_LIBRARY_PATH=" FASTCLIP_FAKE_CUDA " FAKE_CUDA='" + driver + "'");
  }
  void ExpectError(const std::string& driver, const std::string& words, const std::string& text) {
    EXPECT_EQ(RunWith(driver, words), 1) << words;
    EXPECT_NE(errors_.find(text), std::string::npos) << errors_;
    EXPECT_EQ(std::count(errors_.begin(), errors_.end(), '\n'), 1) << errors_;
  }
  std::string Train(const std::string& words) const {
    return "train configs/quickstart.toml data.train=synthetic:200 data.val= run=" +
           (folder_ / "run") + " " + words;
  }
};

TEST_F(FakeGpus, ADriverThatIsTooOldIsSaidAndTheCpuIsTaken) {
  EXPECT_EQ(RunWith("version=12020", Train("--dry-run")), 0) << errors_;
  const std::string plan = ReadFile(folder_ / "out");
  EXPECT_NE(plan.find("device      cpu: the NVIDIA driver is too old: it runs CUDA 12.2"),
            std::string::npos)
      << plan;
  EXPECT_NE(plan.find("warning     the run will use the CPU, although there may be a GPU"),
            std::string::npos)
      << plan;
  ExpectError("version=12020", Train("train.device=cuda"), "the NVIDIA driver is too old");
}

TEST_F(FakeGpus, WhatADriverLacksIsOneLine) {
  ExpectError("init=100", Train("train.device=cuda"), "the NVIDIA driver finds no GPU");
  ExpectError("init=999", "bench step configs/quickstart.toml train.device=cuda",
              "error 999 (unknown error)");
  ExpectError("init=100", "eval retrieval nowhere --shards synthetic:5 --device cuda",
              "--device cuda: the NVIDIA driver finds no GPU");
  ExpectError("gpus=2", Train("train.device=cuda --ranks 4"),
              "4 ranks need 4 GPUs, but this host has 2");
  ExpectError("version=12020", Train("train.device=cuda --ranks 2"),
              "train.device = \"cuda\": the NVIDIA driver is too old");
  // LibTorch needs more of a driver than this one has.
  ExpectError("gpus=1", Train("train.device=cuda"), "of LibTorch cannot use it");
  EXPECT_EQ(errors_.find("Did you run some cuda functions"), std::string::npos) << errors_;
}

TEST_F(FakeGpus, AGpuThatOthersFillIsOneLine) {
  for (const char* words : {"bench step configs/quickstart.toml train.device=cuda",
                            "eval retrieval nowhere --shards synthetic:5 --device cuda"}) {
    ExpectError("gpus=1 memory=140 free=0", words,
                "GPU 0 (0000:1b:00.0, Fake H200): only 0.0 of 150.3 GB is free");
  }
}

TEST_F(CommandLine, PlansTheMemoryOfAGpuThatIsNotThere) {
  EXPECT_EQ(Run("train configs/own-data/vit-b-32.toml train.device=cpu data.train=synthetic:9 "
                "--dry-run --samples 1000000 --ranks 8 --gpu-memory 80GiB run=" +
                (folder_ / "run") + " > " + (folder_ / "out")),
            0)
      << errors_;
  const std::string plan = ReadFile(folder_ / "out");
  EXPECT_NE(plan.find("of GPU memory per rank"), std::string::npos) << plan;
  EXPECT_NE(plan.find("largest batch that fits in 85.9 GB: about "), std::string::npos) << plan;
  ExpectRefused("train configs/quickstart.toml --dry-run --gpu-memory 1GB",  // 0.93 GiB
                "--gpu-memory must be the memory of a GPU, at least 1GiB, as in 80GiB");
  ExpectRefused("train configs/quickstart.toml --dry-run --gpu-memory much",
                "--gpu-memory must be a number of bytes");
}

TEST_F(CommandLine, NeedsOneLineWhereMemoryDoesNotSuffice) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "AddressSanitizer itself reserves terabytes of address space";
#endif
  std::ofstream(folder_ / "model.toml")
      << "embed_dim = 16\n[vision]\nimage_size = 32\npatch_size = 16\n"
         "width = 32\nlayers = 1\nhead_width = 16\n[text]\n"
         "context_length = 16\nvocab_size = 16777216\nwidth = 1024\n"
         "heads = 1\nlayers = 1\n";
  EXPECT_EQ(Run("bench step configs/quickstart.toml model.name=" + (folder_ / "model.toml"),
                "ulimit -v 8000000"),
            1);
  EXPECT_NE(errors_.find("train.batch_size"), std::string::npos) << errors_;
  EXPECT_EQ(std::count(errors_.begin(), errors_.end(), '\n'), 1) << errors_;
}

}  // namespace
}  // namespace fastclip

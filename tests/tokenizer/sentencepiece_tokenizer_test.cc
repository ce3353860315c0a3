#include "tokenizer/sentencepiece_tokenizer.h"

#include <gtest/gtest.h>
#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <random>
#include <unordered_map>

#include "tests/support/error_of.h"
#include "tests/support/paths.h"
#include "tests/tokenizer/tiny_vocabulary.h"
#include "tokenizer/sentencepiece_check.h"

namespace fastclip {
namespace {

using Ids = std::vector<TokenId>;

std::vector<std::string> Captions() {
  std::vector<std::string> captions;
  for (const char* thing : {"cat", "dog", "tree", "red house", "boat", "日本"}) {
    for (const char* how : {"A photo of a", "the small", "Drawing of the", "an old, big"}) {
      for (const char* place : {"in the garden.", "at night", "on a table", "by the sea!"}) {
        captions.push_back(std::string(how) + " " + thing + " " + place);
      }
    }
  }
  return captions;
}

std::string Train(const SentencePieceTraining& training, const std::vector<std::string>& captions) {
  std::size_t at = 0;
  return TrainSentencePiece(training, [&](std::string& caption) {
    if (at == captions.size()) return false;
    caption = captions[at++];
    return true;
  });
}

/// A model with these ids instead of ours; -1 leaves the piece out.
std::string TrainWith(const std::string& bos, const std::string& eos, const std::string& pad) {
  struct Iterator final : sentencepiece::SentenceIterator {
    std::vector<std::string> captions = Captions();
    std::size_t at = 0;
    bool done() const override { return at == captions.size(); }
    void Next() override { ++at; }
    const std::string& value() const override { return captions[at]; }
    sentencepiece::util::Status status() const override { return {}; }
  } iterator;
  std::string model;
  const std::unordered_map<std::string, std::string> arguments = {{"vocab_size", "36"},
                                                                  {"bos_id", bos},
                                                                  {"eos_id", eos},
                                                                  {"pad_id", pad},
                                                                  {"minloglevel", "2"}};
  const auto status = sentencepiece::SentencePieceTrainer::Train(arguments, &iterator, &model);
  EXPECT_TRUE(status.ok()) << status.ToString();
  return model;
}

class SentencePieceTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { model = Train({.vocab_size = 40, .coverage = 1}, Captions()); }

  SentencePieceTokenizer Open(const std::string& bytes) {
    WriteText(folder / "captions.model", bytes);
    return SentencePieceTokenizer(folder / "captions.model");
  }
  std::string OpenError(const std::string& bytes) {
    return ErrorOf<std::runtime_error>([&] { Open(bytes); });
  }

  static inline std::string model;
  TemporaryFolder folder;
};

TEST_F(SentencePieceTest, RoundTripsWhatItLearnedFrom) {
  const auto tokenizer = Open(model);
  EXPECT_EQ(tokenizer.vocab_size(), 40);
  EXPECT_EQ(tokenizer.Decode(tokenizer.Encode("A Photo of  a dog at night")),
            "a photo of a dog at night");
  EXPECT_EQ(tokenizer.Decode(tokenizer.Encode("日本")), "日本");
  EXPECT_TRUE(tokenizer.Encode("").empty());
}

TEST_F(SentencePieceTest, TakesItsSpecialIdsFromTheModel) {
  const auto tokenizer = Open(model);
  EXPECT_EQ(tokenizer.special().start, 1);
  EXPECT_EQ(tokenizer.special().end, 2);
  EXPECT_EQ(tokenizer.special().pad, 3);
  Ids out(8);
  const int pool = EncodeContext(tokenizer, "</s> the dog on a table at night by the sea", out);
  EXPECT_EQ(pool, 7) << "a written </s> is text";
  EXPECT_EQ(out.front(), 1);
  EXPECT_EQ(out.back(), 2);
}

TEST_F(SentencePieceTest, MakesUpForSpecialIdsThatAModelLacks) {
  const auto none = Open(TrainWith("-1", "-1", "-1"));
  EXPECT_EQ(none.vocab_size(), 37);
  EXPECT_EQ(none.special().start, -1);
  EXPECT_EQ(none.special().end, 36);
  EXPECT_EQ(none.special().pad, 36);
  EXPECT_EQ(none.Decode(Ids({36})), "");
  Ids out(20);
  const int pool = EncodeContext(none, "the dog", out);
  EXPECT_EQ(none.Decode(out), "the dog");
  EXPECT_EQ(out[pool], 36);
  const auto no_pad = Open(TrainWith("1", "2", "-1"));
  EXPECT_EQ(no_pad.vocab_size(), 36);
  EXPECT_EQ(no_pad.special().pad, 2);
}

TEST_F(SentencePieceTest, LearnsTheSameModelAgain) {
  std::vector<std::string> captions = Captions();
  captions.insert(captions.end(), captions.begin(), captions.end());
  const SentencePieceTraining training = {.vocab_size = 40, .coverage = 1, .captions = 120};
  ASSERT_GT(captions.size(), 120u);
  EXPECT_EQ(Train(training, captions), Train(training, captions));
}

TEST_F(SentencePieceTest, LearnsBytePairsAndKeepsCase) {
  const auto tokenizer = Open(Train(
      {.vocab_size = 40, .algorithm = "bpe", .coverage = 1, .lower_case = false}, Captions()));
  EXPECT_EQ(tokenizer.Decode(tokenizer.Encode("A photo")), "A photo");
}

TEST_F(SentencePieceTest, TakesAnyBytes) {
  const auto tokenizer = Open(model);
  for (const std::string& text :
       {std::string("\xFF\xFE"), std::string("\xED\xA0\x80"), std::string(5, '\0'),
        std::string("a\0b", 3), std::string(1 << 20, 'a'), std::string(1 << 17, '\x80')}) {
    Ids out(16);
    EXPECT_EQ(out[EncodeContext(tokenizer, text, out)], 2);
    for (const TokenId id : out) ASSERT_TRUE(id >= 0 && id < 40);
  }
  EXPECT_THROW(tokenizer.Decode(Ids({40})), std::out_of_range);
  EXPECT_THROW(tokenizer.Decode(Ids({-1})), std::out_of_range);
}

TEST_F(SentencePieceTest, EncodesALongTextInParts) {
  const auto tokenizer = Open(model);
  std::string text, characters;
  Ids expected;
  const Ids sentence = tokenizer.Encode("the dog at night");
  for (int i = 0; i < 5000; ++i) {
    text += "The dog at night ";
    expected.insert(expected.end(), sentence.begin(), sentence.end());
  }
  EXPECT_EQ(tokenizer.Encode(text), expected);
  EXPECT_EQ(tokenizer.EncodePrefix(text, 3), Ids(expected.begin(), expected.begin() + 3));
  while (characters.size() < 100'000) characters += "日本";
  std::string decoded = tokenizer.Decode(tokenizer.Encode(characters));
  std::erase(decoded, ' ');
  EXPECT_EQ(decoded, characters);
}

TEST_F(SentencePieceTest, RefusesWhatIsNoModel) {
  EXPECT_NE(OpenError("").find("is not a valid size for a SentencePiece model"), std::string::npos);
  EXPECT_NE(OpenError("hello\n").find("not a SentencePiece model"), std::string::npos);
  EXPECT_NE(OpenError(std::string(1000, '\0')).find("not a SentencePiece model"),
            std::string::npos);
  EXPECT_THROW(SentencePieceTokenizer(folder / "absent"), std::runtime_error);
  EXPECT_THROW(SentencePieceTokenizer(folder.path().string()), std::runtime_error);
}

TEST_F(SentencePieceTest, SurvivesADamagedModel) {
  std::mt19937 random(3);
  const auto attempt = [&](const std::string& bytes) {
    try {
      const auto tokenizer = Open(bytes);
      Ids out(16);
      EncodeContext(tokenizer, "a photo of a dog", out);
    } catch (const std::exception&) {
    }
  };
  for (int i = 0; i < 40; ++i) {
    attempt(model.substr(0, random() % model.size()));
    std::string changed = model;
    changed[random() % changed.size()] ^= 1 << random() % 8;
    attempt(changed);
  }
}

/// Where the table of a model's normalization begins: an array of units, 4 bytes each. Before it
/// stands the number of its bytes.
std::size_t ArrayOf(const std::string& model) {
  const std::string name = "nmt_nfkc_cf\x12";
  std::size_t at = model.find(name);
  EXPECT_NE(at, std::string::npos);
  at += name.size();
  while ((model[at] & 0x80) != 0) ++at;
  return at + 1 + 4;
}

/// What "A" becomes lies 2 GB behind the end of the table's texts.
std::string WithATextFarAway(std::string model) {
  char* const array = model.data() + ArrayOf(model);
  const auto unit = [&](std::uint32_t at) {
    std::uint32_t bits;
    std::memcpy(&bits, array + 4 * at, 4);
    return bits;
  };
  const auto offset = [&](std::uint32_t at) {
    return (unit(at) >> 10) << ((unit(at) & 1u << 9) >> 6);
  };
  const std::uint32_t child = offset(0) ^ 'A';
  const std::uint32_t leaf = child ^ offset(child);
  const std::uint32_t far = 0xffffff00u;
  std::memcpy(array + 4 * leaf, &far, 4);
  return model;
}

constexpr std::chrono::seconds kLimit(20);

TEST_F(SentencePieceTest, RefusesAModelOnWhichTheLibraryCrashes) {
  const std::string crafted = WithATextFarAway(model);
  EXPECT_EQ(FaultOfSentencePiece(model), "");
  const auto encode = [&](const std::string& bytes) {
    return CrashOf(
        [&] {
          sentencepiece::SentencePieceProcessor processor;
          std::vector<int> ids;
          if (processor.LoadFromSerializedProto(bytes).ok()) processor.Encode("A", &ids);
        },
        kLimit);
  };
  EXPECT_EQ(encode(model), "");
  EXPECT_NE(encode(crafted), "") << "a library that checks this itself";
  EXPECT_NE(OpenError(crafted).find("points past its end"), std::string::npos)
      << OpenError(crafted);
}

TEST_F(SentencePieceTest, RefusesANormalizationTableThatPointsOutOfItself) {
  std::mt19937 random(5);
  const std::size_t array = ArrayOf(model);
  int refused = 0;
  for (int i = 0; i < 30; ++i) {
    std::string changed = model;
    for (int k = 0; k < 400; ++k) {
      changed[array + random() % (changed.size() - array)] = static_cast<char>(random());
    }
    if (!FaultOfSentencePiece(changed).empty()) ++refused;
    EXPECT_EQ(OpenError(changed).find("SentencePiece library"), std::string::npos)
        << "it crashed, where the check had found nothing";
  }
  EXPECT_GE(refused, 20);
  std::string cut = model;
  cut[array - 1] = 0x7f;  // an array of 2 GB
  EXPECT_NE(FaultOfSentencePiece(cut).find("invalid size"), std::string::npos);
}

TEST(CrashOf, TellsHowAChildEnded) {
  EXPECT_EQ(CrashOf([] {}, kLimit), "");
  EXPECT_EQ(CrashOf([] { throw std::runtime_error("no crash"); }, kLimit), "");
  EXPECT_NE(CrashOf([] { std::raise(SIGKILL); }, kLimit).find("crashed (signal 9, "),
            std::string::npos);
  EXPECT_EQ(CrashOf([] { std::exit(3); }, kLimit), "exited with code 255");
  EXPECT_EQ(CrashOf([] { pause(); }, std::chrono::seconds(1)), "did not finish in 1 s");
}

TEST_F(SentencePieceTest, SaysWhyItCannotLearn) {
  EXPECT_THROW(Train({.vocab_size = 100}, {}), std::runtime_error);
  for (const char* caption : {"", " ", "\t", "\u200B", "▅ a", "!", "\xFF", "a", "é", "日"}) {
    EXPECT_THROW(Train({.vocab_size = 100}, {caption}), std::runtime_error) << caption;
    EXPECT_THROW(Train({.vocab_size = 100, .algorithm = "bpe"}, {caption}), std::runtime_error);
  }
  EXPECT_THROW(Train({.vocab_size = 100}, {std::string(1 << 20, 'a')}), std::runtime_error);
  try {
    Train({.vocab_size = 30000}, Captions());
    ADD_FAILURE();
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("Vocabulary size"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace fastclip

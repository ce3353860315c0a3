#include "tokenizer/sentencepiece_tokenizer.h"

#include <fmt/format.h>
#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>
#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <stdexcept>
#include <unordered_map>

#include "pipeline/base/suggested_command.h"
#include "tokenizer/sentencepiece_check.h"

namespace fastclip {
namespace {

// The largest models that are published have about 16 MB.
constexpr std::uintmax_t kModelLimit = 256u << 20;

// The reason without the library's place and condition: "Internal: file.cc(1) [x == y] reason".
std::string Reason(const sentencepiece::util::Status& status) {
  const std::string text = status.ToString();
  const std::size_t bracket = text.rfind("] ");
  return bracket == std::string::npos || bracket + 2 >= text.size() ? text
                                                                    : text.substr(bracket + 2);
}

std::string ReadModel(const std::string& path) {
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (error) throw std::runtime_error(fmt::format("{}: {}", path, error.message()));
  if (size == 0 || size > kModelLimit) {
    throw std::runtime_error(fmt::format(
        "{}: {} bytes is not a valid size for a SentencePiece model; check the file", path, size));
  }
  std::ifstream file(path, std::ios::binary);
  std::string bytes(size, '\0');
  if (!file.read(bytes.data(), static_cast<std::streamsize>(size))) {
    throw std::runtime_error(fmt::format("{}: cannot be read ({})", path, std::strerror(errno)));
  }
  return bytes;
}

/// What the library does with a model that it reads, once: where one makes it crash, it is here.
void TryModel(const std::string& bytes) {
  sentencepiece::SentencePieceProcessor processor;
  if (!processor.LoadFromSerializedProto(bytes).ok()) return;
  std::string text = "a photo of 12 things, 日本 ＡＢＣ ﬁ \U0001F600";
  for (int byte = 1; byte < 256; ++byte) text.push_back(static_cast<char>(byte));
  constexpr int kPiecesTried = 1000;
  for (int id = 0; id < std::min(processor.GetPieceSize(), kPiecesTried); ++id) {
    text += processor.IdToPiece(id);
  }
  std::vector<int> ids;
  processor.Encode({text.data(), std::min(text.size(), std::size_t{4} << 10)}, &ids);
  processor.Decode(ids, &text);
}

/// Loading takes some 0.1 s for the largest models that are published.
constexpr std::chrono::seconds kLoadLimit(30);

// The library joins runs of unknown characters in quadratic time: 200 s for a megabyte of them.
constexpr std::size_t kPart = 4 << 10;

// The length of the part of `text` to encode at once: up to a space where there is one, else whole
// characters.
std::size_t PartLength(std::string_view text) {
  if (text.size() <= kPart) return text.size();
  const std::size_t space = text.rfind(' ', kPart - 1);
  if (space != std::string_view::npos) return space + 1;
  std::size_t end = kPart;
  while (end > kPart - 3 && (text[end] & 0xC0) == 0x80) --end;
  return end;
}

// Bytes of a caption; the trainer leaves longer ones out.
constexpr std::size_t kCaptionLimit = 4192;
// U+2585 stands for the unknown piece inside the trainer, which leaves out captions that hold it.
constexpr std::string_view kReserved = "\xE2\x96\x85";

// Whether it is UTF-8 with a letter or digit.
bool HasWords(std::string_view text) {
  bool found = false;
  for (std::size_t at = 0; at < text.size();) {
    UChar32 c;
    U8_NEXT(text.data(), at, text.size(), c);
    if (c < 0) return false;
    found = found || u_isalnum(c);
  }
  return found;
}

// Hands the trainer only captions that it keeps: with none at all it would end the process.
class CaptionIterator final : public sentencepiece::SentenceIterator {
 public:
  explicit CaptionIterator(const std::function<bool(std::string&)>& next) : next_(next) { Next(); }
  bool done() const override { return done_; }
  void Next() override {
    for (; (done_ = !next_(caption_)) == false; ++left_out_) {
      if (caption_.size() > kCaptionLimit || caption_.find(kReserved) != std::string::npos)
        continue;
      std::replace(caption_.begin(), caption_.end(), '\0', ' ');
      if (HasWords(caption_)) return;
    }
  }
  std::int64_t left_out() const { return left_out_; }
  const std::string& value() const override { return caption_; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  const std::function<bool(std::string&)>& next_;
  std::string caption_;
  bool done_ = false;
  std::int64_t left_out_ = 0;
};

}  // namespace

SentencePieceTokenizer::SentencePieceTokenizer(const std::string& model)
    : processor_(std::make_unique<sentencepiece::SentencePieceProcessor>()) {
  const std::string bytes = ReadModel(model);
  const auto refuse = [&](const std::string& reason) {
    throw std::runtime_error(
        fmt::format("{}: not a SentencePiece model, or damaged ({}); make one with {}", model,
                    reason, SuggestedCommand("tokenizer train")));
  };
  if (const std::string fault = FaultOfSentencePiece(bytes); !fault.empty()) refuse(fault);
  const std::string crash = CrashOf([&] { TryModel(bytes); }, kLoadLimit);
  if (!crash.empty()) {
    throw std::runtime_error(fmt::format(
        "{}: the SentencePiece library {} on this model (in a child process); do not use the file",
        model, crash));
  }
  const auto status = processor_->LoadFromSerializedProto(bytes);
  if (!status.ok()) refuse(status.ToString());
  if (processor_->GetPieceSize() == 0) refuse("no pieces");
  vocab_size_ = processor_->GetPieceSize();
  special_.start = processor_->bos_id();
  special_.end = processor_->eos_id() >= 0 ? processor_->eos_id() : vocab_size_++;
  special_.pad = processor_->pad_id() >= 0 ? processor_->pad_id() : special_.end;
}

SentencePieceTokenizer::~SentencePieceTokenizer() = default;

std::vector<TokenId> SentencePieceTokenizer::Encode(std::string_view text) const {
  return EncodePrefix(text, std::numeric_limits<std::size_t>::max());
}

std::vector<TokenId> SentencePieceTokenizer::EncodePrefix(std::string_view text,
                                                          std::size_t limit) const {
  std::vector<TokenId> ids;
  std::vector<int> part;
  while (!text.empty() && ids.size() < limit) {
    const std::size_t length = PartLength(text);
    const auto status = processor_->Encode({text.data(), length}, &part);
    if (!status.ok()) throw std::runtime_error("SentencePiece: " + Reason(status));
    ids.insert(ids.end(), part.begin(), part.end());
    text.remove_prefix(length);
  }
  if (ids.size() > limit) ids.resize(limit);
  return ids;
}

std::string SentencePieceTokenizer::Decode(std::span<const TokenId> ids) const {
  std::vector<int> pieces;
  for (const TokenId id : ids) {
    if (id < 0 || id >= vocab_size_) {
      throw std::out_of_range(
          fmt::format("token {} is not in this model of {} ids", id, vocab_size_));
    }
    if (id < processor_->GetPieceSize() && !processor_->IsControl(id)) pieces.push_back(id);
  }
  std::string text;
  const auto status = processor_->Decode(pieces, &text);
  if (!status.ok()) throw std::runtime_error("SentencePiece: " + Reason(status));
  return text;
}

std::string TrainSentencePiece(const SentencePieceTraining& options,
                               const std::function<bool(std::string&)>& next,
                               std::int64_t* left_out) {
  const std::unordered_map<std::string, std::string> arguments = {
      {"vocab_size", std::to_string(options.vocab_size)},
      {"model_type", options.algorithm},
      {"character_coverage", fmt::format("{}", options.coverage)},
      {"normalization_rule_name", options.lower_case ? "nmt_nfkc_cf" : "nmt_nfkc"},
      {"max_sentence_length", std::to_string(kCaptionLimit)},
      {"input_sentence_size", std::to_string(options.captions)},
      {"shuffle_input_sentence", options.captions > 0 ? "true" : "false"},
      {"unk_id", "0"},
      {"bos_id", "1"},
      {"eos_id", "2"},
      {"pad_id", "3"},
      {"minloglevel", "2"},  // errors only
  };
  CaptionIterator captions(next);
  if (captions.done()) {
    throw std::runtime_error(fmt::format(
        "no caption to train on; a caption needs letters or digits and at most {} bytes",
        kCaptionLimit));
  }
  sentencepiece::SetRandomGeneratorSeed(0);
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(arguments, &captions, &model);
  if (!status.ok()) throw std::runtime_error("SentencePiece: " + Reason(status));
  if (left_out != nullptr) *left_out = captions.left_out();
  return model;
}

}  // namespace fastclip

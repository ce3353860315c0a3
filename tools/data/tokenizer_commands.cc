#include <fmt/ranges.h>

#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>

#include "pipeline/base/printable.h"
#include "pipeline/files/output_file.h"
#include "tokenizer/sentencepiece_tokenizer.h"
#include "tokenizer/tokenizer.h"
#include "tools/cli/cli.h"
#include "tools/cli/command.h"
#include "tools/cli/tell.h"
#include "tools/cli/usage_error.h"

namespace fastclip {
namespace {

constexpr std::size_t kLineLimit = 64u << 20;

// The lines of a file or, for "-", of standard input.
class LineReader {
 public:
  explicit LineReader(const std::string& path) : name_(path == "-" ? "standard input" : path) {
    if (path == "-") {
      std::ios::sync_with_stdio(false);
      return;
    }
    file_.open(path, std::ios::binary);
    // A folder opens, too, and shows at the first read.
    if (!file_ || (file_.peek(), file_.bad())) {
      throw std::runtime_error(fmt::format("{}: cannot read it; a text file is needed", path));
    }
    stream_ = &file_;
  }

  bool Next(std::string& line) {
    line.clear();
    std::streambuf& in = *stream_->rdbuf();
    ++number_;
    for (int c = in.sbumpc(); c != '\n'; c = in.sbumpc()) {
      if (c == EOF) return !line.empty();
      if (line.size() == kLineLimit) {
        throw std::runtime_error(fmt::format(
            "{}: line {} is longer than 64 MiB; put one caption on each line", name_, number_));
      }
      line.push_back(static_cast<char>(c));
    }
    return true;
  }

 private:
  std::string name_;
  std::ifstream file_;
  std::istream* stream_ = &std::cin;
  std::int64_t number_ = 0;
};

int TrainModel(const std::string& input, const std::string& model,
               const SentencePieceTraining& training) {
  LineReader lines(input);
  const OutputKind kind = {"a SentencePiece model", [](std::string_view head) {
                             return head.starts_with('\n') && head.find("<unk>") != head.npos;
                           }};
  OutputFile file(model, kind, {input});
  std::int64_t read = 0, left_out = 0;
  const std::string bytes = TrainSentencePiece(
      training,
      [&](std::string& caption) {
        const bool more = lines.Next(caption);
        read += more;
        return more;
      },
      &left_out);
  file.Append(bytes);
  file.Commit();
  if (left_out > 0) {
    Tell("skipped {} of {}: invalid UTF-8, over 4,192 bytes, or no letters and digits\n", left_out,
         Counted(read, "caption"));
  }
  const std::int64_t used = read - left_out;
  const std::string learned_from =
      training.captions > 0 && used > training.captions
          ? fmt::format("{} of {}", training.captions, Counted(used, "caption"))
          : Counted(used, "caption");
  if (!file.is_file()) {
    Tell("{}: model trained on {}\n", model, learned_from);
    return 0;
  }
  fmt::print("{}: {} ids, trained on {}; use it with sentencepiece:{}\n", model,
             SentencePieceTokenizer(model).vocab_size(), learned_from, model);
  return 0;
}

}  // namespace

/// `fastclip tokenize`: prints a line of token ids for each input line.
int RunTokenize(int argc, const char* const* argv) {
  CLI::App app(
      "Prints the token ids of each line of standard input, without start, end and padding.",
      "fastclip tokenize");
  std::string spec = "clip";
  app.add_option("--tokenizer", spec, kTokenizerHelp)->check(WrongTokenizer)->capture_default_str();
  app.footer(
      "example: echo 'A photo of a cat.' | fastclip tokenize\n"
      "         fastclip tokenize --tokenizer sentencepiece:captions.model < captions.txt");
  if (!ParseArguments(app, argc, argv)) return 0;

  const std::shared_ptr<const Tokenizer> tokenizer = OpenTokenizer(spec);
  LineReader lines("-");
  for (std::string line; lines.Next(line);) {
    fmt::print("{}\n", fmt::join(tokenizer->Encode(line), " "));
  }
  if (std::fflush(stdout) != 0) throw std::runtime_error("standard output cannot be written");
  return 0;
}

namespace {

int RunTokenizerTrain(int argc, const char* const* argv) {
  CLI::App app("Trains a SentencePiece model on captions.", "fastclip tokenizer train");
  std::string input, model;
  SentencePieceTraining training;
  bool keep_case = false;
  app.add_option("--input", input, "text file with one caption per line; -: standard input")
      ->required();
  app.add_option("--model", model,
                 "file to write, replaced when the new one is complete; -: standard output")
      ->required();
  app.add_option("--vocab-size", training.vocab_size, "number of ids, including the 4 special ones")
      ->check(Between(5, 1 << 24))
      ->capture_default_str();
  app.add_option("--algorithm", training.algorithm, "unigram or bpe")
      ->check(OneOf({"unigram", "bpe"}))
      ->capture_default_str();
  app.add_option("--coverage", training.coverage,
                 "fraction of all characters that get their own id; 0.9995 suits large scripts, 1 "
                 "small ones")
      ->check(NumberBetween(0.98, 1))
      ->capture_default_str();
  app.add_option("--captions", training.captions,
                 "train on this many random captions; 0: all (several GB of memory per million)")
      ->check(Between(0, std::int64_t{1} << 40))
      ->capture_default_str();
  app.add_flag("--keep-case", keep_case,
               "keep upper and lower case apart; default: fold case, as CLIP does");
  app.footer(
      "example: fastclip tokenizer train --input captions.txt --model captions.model --vocab-size "
      "8000");
  if (!ParseArguments(app, argc, argv)) return 0;
  if (training.captions > 0 && training.captions <= 100) {
    throw UsageError(
        fmt::format("--captions must be 0 or more than 100, not {}", training.captions));
  }
  training.lower_case = !keep_case;
  return TrainModel(input, model, training);
}

const Command kVerbs[] = {
    {"train", "train a SentencePiece model on captions", RunTokenizerTrain},
};

}  // namespace

/// `fastclip tokenizer VERB …`.
int RunTokenizer(int argc, const char* const* argv) {
  return RunVerb("tokenizer", kVerbs, "Trains tokenizers.",
                 "fastclip tokenizer train --input captions.txt --model captions.model", argc,
                 argv);
}

}  // namespace fastclip

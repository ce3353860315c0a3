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
      throw std::runtime_error(fmt::format("{}: cannot be read; is it a text file?", path));
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
            "{}: line {} is longer than 64 MiB; a line holds one caption", name_, number_));
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
    Tell("skipped {} of {}: not UTF-8, over 4,192 bytes, or without letters and digits\n", left_out,
         Counted(read, "caption"));
  }
  const std::int64_t used = read - left_out;
  const std::string learned_from =
      training.captions > 0 && used > training.captions
          ? fmt::format("{} of {}", training.captions, Counted(used, "caption"))
          : Counted(used, "caption");
  if (!file.is_file()) {
    Tell("{}: a model from {}\n", model, learned_from);
    return 0;
  }
  fmt::print("{}: {} ids from {}; use it as sentencepiece:{}\n", model,
             SentencePieceTokenizer(model).vocab_size(), learned_from, model);
  return 0;
}

}  // namespace

/// `fastclip tokenize`: lines in, a line of ids out each.
int RunTokenize(int argc, const char* const* argv) {
  CLI::App app(
      "Reads lines on standard input and writes one line of ids for each, without start, end and "
      "padding.",
      "fastclip tokenize");
  std::string spec = "clip";
  app.add_option("--tokenizer", spec, "clip, clip:VOCABULARY or sentencepiece:MODEL")
      ->check(WrongTokenizer)
      ->capture_default_str();
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

/// `fastclip tokenizer train`: a SentencePiece model from captions.
int RunTokenizer(int argc, const char* const* argv) {
  CLI::App app("Makes tokenizers.", "fastclip tokenizer");
  app.require_subcommand(1);
  CLI::App& train = *app.add_subcommand("train", "Learns a SentencePiece model from captions.");
  std::string input, model;
  SentencePieceTraining training;
  bool keep_case = false;
  train.add_option("--input", input, "Text, one caption a line; - is standard input")->required();
  train
      .add_option("--model", model,
                  "File to write; it appears when it is complete; - is standard output")
      ->required();
  train
      .add_option("--vocab-size", training.vocab_size,
                  "Number of ids, the 4 special ones among them")
      ->check(CLI::Range(5, 1 << 24))
      ->capture_default_str();
  train.add_option("--algorithm", training.algorithm, "unigram or bpe")
      ->check(CLI::IsMember({"unigram", "bpe"}))
      ->capture_default_str();
  train
      .add_option("--coverage", training.coverage,
                  "Share of all characters that get ids of their own; 0.9995 suits many scripts, 1 "
                  "a small one")
      ->check(CLI::Range(0.98, 1.0))
      ->capture_default_str();
  train
      .add_option(
          "--captions", training.captions,
          "Learn from so many captions, drawn at random; 0 for all (a million need some GB)")
      ->check(CLI::IsMember({0}) | CLI::Range(std::int64_t{101}, std::int64_t{1} << 40))
      ->capture_default_str();
  train.add_flag("--keep-case", keep_case,
                 "Keep capitals apart; else case is folded, as CLIP does");
  app.footer(
      "example: fastclip tokenizer train --input captions.txt --model captions.model --vocab-size "
      "8000");
  train.footer(app.get_footer());
  if (!ParseArguments(app, argc, argv)) return 0;
  training.lower_case = !keep_case;
  return TrainModel(input, model, training);
}

}  // namespace fastclip

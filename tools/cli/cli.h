#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "pipeline/order/mix.h"
#include "pipeline/pixels/image.h"
#include "pipeline/records/caption_key.h"
#include "pipeline/records/record_source.h"
#include "pipeline/records/table_keys.h"

namespace fastclip {

/// For Option::check(): what is wrong with the words of a --tokenizer, or nothing.
std::string WrongTokenizer(const std::string& spec);

/// --captions, --caption-weights and --caption-lines, as data.captions of a run.
struct CaptionOptions {
  std::vector<std::string> keys;
  std::vector<double> weights;
  std::string lines = "auto";

  void AddTo(CLI::App& app);
  /// Throws UsageError where they are none.
  std::vector<CaptionKey> Parsed() const;
  /// `otherwise`: what "auto" means.
  CaptionLines LinesOr(CaptionLines otherwise) const;
};

/// --tail, --weights, --repeats, --counts, --epoch-samples, --resampled, as the keys of a run's
/// data section.
struct OrderWords {
  std::string tail = "drop";
  MixOptions mix;

  void AddTo(CLI::App& app);
  /// Fills in size, tail and parts for a source. Throws UsageError.
  void Apply(const RecordSource& source, OrderOptions& order) const;
};

/// --image-key, --caption-key and --separator, as data.image_key, … of a run.
struct TableOptions {
  std::string image_key, caption_key, separator;

  void AddTo(CLI::App& app);
  /// Throws UsageError for a separator that is none.
  TableKeys Parsed() const;
  /// What was said goes before what is there. Throws UsageError.
  void Apply(TableKeys& keys) const;
};

/// --formats and --exif-rotate, as pipeline.formats and pipeline.exif_rotate of a run.
struct PictureOptions {
  std::vector<std::string> formats = {"jpeg", "png", "webp"};
  bool exif_rotate = false;

  void AddTo(CLI::App& app);
  /// Throws UsageError for a format that is none.
  void Apply(SourceOptions& source, DecodeOptions& decode) const;
};

/// --pixels of commands that make training batches, as pipeline.pixels of a run.
void AddPixelsTo(CLI::App& app, bool& fast_pixels);

/// Parses the words behind argv[0], the command's name, as every command does:
///
///   CLI::App app("Ids of the lines of standard input.", "fastclip tokenize");
///   app.add_option("--tokenizer", spec, "…")->capture_default_str();
///   app.footer("example: fastclip tokenize < captions.txt");
///   if (!ParseArguments(app, argc, argv)) return 0;
///
/// False: --help was asked for and is printed; the command returns 0. Throws UsageError, exit code
/// 2, with the reason on one line.
bool ParseArguments(CLI::App& app, int argc, const char* const* argv);

}  // namespace fastclip

#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/order/mix.h"
#include "pipeline/pixels/image.h"
#include "pipeline/records/caption_key.h"
#include "pipeline/records/record_source.h"
#include "pipeline/records/table_keys.h"

namespace fastclip {

/// Texts of options that several commands have.
inline constexpr const char* kListHelp =
    "tar shards with braces and globs ('cc3m/{00000..00331}.tar'), a table of image paths and "
    "captions (.tsv, .csv, .jsonl, also .gz), a folder of classes (ImageFolder), a .txt that lists "
    "any of these, or synthetic:N; several are joined with '::'";
inline constexpr const char* kManifestHelp =
    "manifest file to use or create, with a folder FILE.places (FILE.0, FILE.1, … if LIST has "
    "several parts); default: next to the shards";
inline constexpr const char* kVerifyHelp =
    "compare each record with the checksum that shards index --checksum recorded";
inline constexpr const char* kMaxPixelsHelp = "skip images with more pixels than this";
inline constexpr const char* kCropHelp = "side of the training crop in pixels";
inline constexpr const char* kContextHelp = "tokens per caption, padding included";
inline constexpr const char* kTokenizerHelp = "clip, clip:VOCABULARY or sentencepiece:MODEL";
inline constexpr const char* kLabelKeyHelp =
    "where the label is stored: json.NAME (a field of .json or of a .jsonl row), or a table's "
    "column; default: .cls, or the column 'label'";
inline constexpr const char* kThreadsHelp = "CPU threads";
inline constexpr const char* kJsonHelp = "print one JSON object to standard output";
inline constexpr const char* kConfigHelp = "TOML config, or a run folder (its config.toml)";
inline constexpr const char* kOverridesHelp = "section.key=value, overrides the config file";

/// Checks for Option::check(). CLI11's own have other words.
CLI::Validator OneOf(std::vector<std::string> words);
CLI::Validator Between(std::int64_t least, std::int64_t most);
CLI::Validator NumberBetween(double least, double most);
CLI::Validator AtLeast(std::int64_t least);
CLI::Validator NumberAtLeast(double least);
/// For Option::transform() of all sizes: "256MB" to bytes. KB, MB, GB are powers of 1000, KiB, MiB,
/// GiB of 1024.
CLI::Validator AsBytes();
/// Ends the help of such an option.
inline constexpr const char* kSizeHelp = "GB is 10^9 bytes, GiB 2^30";

/// For Option::check(): what is wrong with the value of --tokenizer, or "".
std::string WrongTokenizer(const std::string& spec);

/// --captions, --caption-weights and --caption-lines, as data.captions of a run.
struct CaptionOptions {
  std::vector<std::string> keys;
  std::vector<double> weights;
  std::string lines = "auto";

  void AddTo(CLI::App& app);
  /// Throws UsageError if a key or a weight is invalid.
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
  /// Throws UsageError for an invalid separator.
  TableKeys Parsed() const;
  /// Overrides `keys` with the options that were set. Throws UsageError.
  void Apply(TableKeys& keys) const;
};

/// --formats and --exif-rotate, as pipeline.formats and pipeline.exif_rotate of a run.
struct PictureOptions {
  std::vector<std::string> formats = {"jpeg", "png", "webp"};
  bool exif_rotate = false;

  void AddTo(CLI::App& app);
  /// Throws UsageError for an unknown format.
  void Apply(SourceOptions& source, DecodeOptions& decode) const;
};

/// --pixels of commands that make training batches, as pipeline.pixels of a run.
void AddPixelsTo(CLI::App& app, bool& fast_pixels);

/// Parses the words after argv[0], the command's name, in the same way for every command:
///
///   CLI::App app("Prints the token ids of each line of standard input.", "fastclip tokenize");
///   app.add_option("--tokenizer", spec, kTokenizerHelp)->capture_default_str();
///   app.footer("example: fastclip tokenize < captions.txt");
///   if (!ParseArguments(app, argc, argv)) return 0;
///
/// False: --help was printed; the command returns 0. Throws UsageError, exit code 2, with the
/// reason on one line, in this program's words.
bool ParseArguments(CLI::App& app, int argc, const char* const* argv);

}  // namespace fastclip

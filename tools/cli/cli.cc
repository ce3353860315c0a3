#include "tools/cli/cli.h"

#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <stdexcept>
#include <string>

#include "tokenizer/tokenizer_spec.h"
#include "tools/cli/usage_error.h"

namespace fastclip {

std::string WrongTokenizer(const std::string& spec) {
  try {
    ParseTokenizerSpec(spec);
    return "";
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
}

void CaptionOptions::AddTo(CLI::App& app) {
  app.add_option("--captions", keys,
                 "where captions are, txt or json.NAME, as the run's data.captions; default: the "
                 "usual places")
      ->delimiter(',');
  app.add_option("--caption-weights", weights, "how often each is taken")->delimiter(',');
  app.add_option("--caption-lines", lines,
                 "a .txt is one caption (whole), or one a line (split); auto: split where a model "
                 "is evaluated, else whole")
      ->check(CLI::IsMember({"auto", "split", "whole"}))
      ->capture_default_str();
}

CaptionLines CaptionOptions::LinesOr(CaptionLines otherwise) const {
  return CaptionLinesOf(lines, otherwise);
}

std::vector<CaptionKey> CaptionOptions::Parsed() const {
  try {
    return ParseCaptionKeys(keys, weights);
  } catch (const std::runtime_error& error) {
    throw UsageError(error.what());
  }
}

void OrderWords::AddTo(CLI::App& app) {
  app.add_option("--tail", tail, "the run's data.tail: drop, pad or carry")
      ->check(CLI::IsMember({"drop", "pad", "carry"}))
      ->capture_default_str();
  app.add_option("--weights", mix.weights, "the run's data.weights")->delimiter(',');
  app.add_option("--repeats", mix.repeats, "the run's data.repeats")->delimiter(',');
  app.add_option("--counts", mix.counts, "the run's data.counts")->delimiter(',');
  app.add_option("--epoch-samples", mix.epoch_samples, "the run's data.epoch_samples")
      ->check(CLI::NonNegativeNumber);
  app.add_flag("--resampled", mix.resampled, "the run's data.resampled");
}

void OrderWords::Apply(const RecordSource& source, OrderOptions& order) const {
  order.size = source.size();
  order.tail = TailOfName(tail);
  order.resampled = mix.resampled;
  try {
    order.parts = MixOf(mix, source.part_sizes());
  } catch (const std::invalid_argument& wrong) {
    throw UsageError(wrong.what());
  }
}

void TableOptions::AddTo(CLI::App& app) {
  app.add_option("--image-key", image_key,
                 "column (of a .jsonl: field) with the image's path; default: filepath, image, "
                 "path, file_name, …");
  app.add_option("--caption-key", caption_key,
                 "column or field with the caption; default: caption, title, text");
  app.add_option("--separator", separator,
                 "sign between the fields of a .csv or .tsv, or tab; default: as its first line");
}

TableKeys TableOptions::Parsed() const {
  TableKeys keys{.image = image_key, .caption = caption_key};
  try {
    if (!separator.empty()) keys.separator = ParseSeparator(separator);
  } catch (const std::runtime_error& error) {
    throw UsageError(fmt::format("--separator {}", error.what()));
  }
  return keys;
}

void TableOptions::Apply(TableKeys& keys) const {
  const TableKeys said = Parsed();
  if (!said.image.empty()) keys.image = said.image;
  if (!said.caption.empty()) keys.caption = said.caption;
  if (said.separator != '\0') keys.separator = said.separator;
}

void PictureOptions::AddTo(CLI::App& app) {
  app.add_option("--formats", formats, "pictures that are read, of jpeg, png, webp, gif, bmp")
      ->delimiter(',')
      ->capture_default_str();
  app.add_flag("--exif-rotate", exif_rotate, "turn pictures as their EXIF says");
}

void PictureOptions::Apply(SourceOptions& source, DecodeOptions& decode) const {
  try {
    source.formats = decode.formats = ParsePictureFormats(formats);
  } catch (const std::invalid_argument& error) {
    throw UsageError(fmt::format("--formats: {}", error.what()));
  }
  decode.exif_rotate = exif_rotate;
}

void AddPixelsTo(CLI::App& app, bool& fast_pixels) {
  app.add_option_function<std::string>(
         "--pixels", [&](const std::string& pixels) { fast_pixels = pixels == "fast"; },
         "exact: Pillow's bytes; fast: large JPEGs are decoded smaller")
      ->check(CLI::IsMember({"exact", "fast"}))
      ->default_str("exact");
}

bool ParseArguments(CLI::App& app, int argc, const char* const* argv) {
  try {
    app.parse(argc, argv);
    return true;
  } catch (const CLI::Success& help) {
    app.exit(help, std::cout, std::cerr);
    return false;
  } catch (const CLI::ParseError& error) {
    std::string reason = error.what();
    std::replace(reason.begin(), reason.end(), '\n', ' ');
    throw UsageError(fmt::format("{}; {} --help tells more", reason, app.get_name()));
  }
}

}  // namespace fastclip

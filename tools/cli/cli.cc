#include "tools/cli/cli.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "pipeline/base/nearest.h"
#include "pipeline/base/suggested_command.h"
#include "tokenizer/tokenizer_spec.h"
#include "tools/cli/usage_error.h"

namespace fastclip {
namespace {

/// `kind`: "an integer" or "a number".
template <class Number>
CLI::Validator NumberCheck(Number least, Number most, std::string_view kind) {
  const bool open = most == std::numeric_limits<Number>::max();
  const std::string need = open ? fmt::format("must be {} of at least {}", kind, least)
                                : fmt::format("must be {} from {} to {}", kind, least, most);
  return {[=](const std::string& text) {
            Number value{};
            const bool fits =
                CLI::detail::lexical_cast(text, value) && value >= least && value <= most;
            return fits ? "" : fmt::format("{}, not '{}'", need, text);
          },
          open ? fmt::format(">={}", least) : fmt::format("{}..{}", least, most)};
}

/// "a", "a or b", "a, b or c".
std::string Either(const std::vector<std::string>& words) {
  if (words.size() < 2) return fmt::format("{}", fmt::join(words, ""));
  return fmt::format("{} or {}", fmt::join(words.begin(), words.end() - 1, ", "), words.back());
}

/// The option whose name `text` begins with.
const CLI::Option* NamedIn(const CLI::App& app, std::string_view text) {
  for (const CLI::Option* option : app.get_options()) {
    const std::string name = option->get_name();
    if (text.starts_with(name) && text.find_first_of(": ") == name.size()) return option;
  }
  return nullptr;
}

bool IsFlag(const CLI::Option& option) { return option.get_items_expected_max() == 0; }

/// The option of `names` that `name` means: by another program's name, or for a slip.
std::string NearOption(const std::string& name, const std::vector<std::string>& names) {
  static constexpr std::pair<std::string_view, std::string_view> kOtherNames[] = {
      {"--data", "--shards"},
      {"--val", "--shards"},
      {"--val-data", "--shards"},
      {"--data-val", "--shards"},
      {"--dataset", "--shards"},
      {"--imagenet-val", "--shards"},
      {"--train-data", "--train"},
      {"--batch-size", "--batch"},
      {"--workers", "--threads"},
      {"--num-workers", "--threads"},
      {"--output", "--out"},
      {"--classnames", "--classes"},
      {"--csv-img-key", "--image-key"},
      {"--csv-caption-key", "--caption-key"},
      {"--csv-separator", "--separator"},
      {"--template", "--templates"},
      {"--gpus", "--ranks"},
      {"--num-gpus", "--ranks"},
      {"--nproc-per-node", "--ranks"}};
  for (const auto& [other, option] : kOtherNames) {
    if (name == other && std::ranges::find(names, option) != names.end())
      return std::string(option);
  }
  return Nearest(name, names, name.size() < 7 ? 1 : 2);
}

/// Whether a word looks like an option that there is not.
bool HasUnknownOption(const CLI::App& app) {
  const std::vector<std::string> extra = app.remaining();
  return std::ranges::any_of(
      extra, [](const std::string& word) { return word.starts_with("--") && word.size() > 2; });
}

/// A word that no option and no argument takes.
std::string DescribeExtra(const CLI::App& app) {
  const std::vector<std::string> extra = app.remaining();
  const auto option = std::ranges::find_if(
      extra, [](const std::string& word) { return word.starts_with('-') && word.size() > 1; });
  if (option == extra.end()) {
    const std::filesystem::path word = extra.empty() ? "" : extra.front();
    std::error_code absent;
    return fmt::format(
        "unexpected argument '{}'{}", word.string(),
        std::filesystem::is_regular_file(word, absent)
            ? fmt::format("; quote a pattern, as in '{}', or the shell expands it",
                          (word.parent_path() / "*").string() + word.extension().string())
            : "");
  }
  const std::string name = option->substr(0, option->find('='));
  std::vector<std::string> names;
  for (const CLI::Option* known : app.get_options()) {
    if (known->get_name().starts_with("--")) names.push_back(known->get_name());
  }
  const std::string near = NearOption(name, names);
  return fmt::format("unknown option {}{}", name, near.empty() ? "" : "; " + DidYouMean(near));
}

/// A value that is not of the option's type.
std::string DescribeConversion(const CLI::App& app, std::string_view reason) {
  static constexpr std::string_view kHead = "Could not convert: ";
  if (reason.starts_with(kHead)) reason.remove_prefix(kHead.size());
  const CLI::Option* const option = NamedIn(app, reason);
  if (option == nullptr) return std::string(reason);
  if (IsFlag(*option)) return option->get_name() + " takes no value";
  return fmt::format("{}: '{}' is not a valid {}", option->get_name(),
                     fmt::join(option->results(), ","),
                     option->get_type_name().starts_with("FLOAT") ? "number" : "integer");
}

/// Too few values, or too many.
std::string DescribeMismatch(const CLI::App& app, std::string_view reason) {
  const CLI::Option* const option = NamedIn(app, reason);
  if (option == nullptr) return std::string(reason);
  if (IsFlag(*option)) return option->get_name() + " takes no value";
  return option->get_name() +
         (option->results().size() > 1 ? " takes one value; set it once" : " needs a value");
}

[[noreturn]] void ThrowUsage(const CLI::App& app, std::string reason) {
  std::ranges::replace(reason, '\n', ' ');
  throw UsageError(fmt::format("{}{} see {} --help", reason, reason.ends_with('?') ? "" : ";",
                               WithProgramTyped(app.get_name())));
}

}  // namespace

CLI::Validator OneOf(std::vector<std::string> words) {
  const std::string name = fmt::format("{{{}}}", fmt::join(words, ","));
  return {[words = std::move(words)](const std::string& text) {
            const bool known = std::ranges::find(words, text) != words.end();
            return known ? "" : fmt::format("must be {}, not '{}'", Either(words), text);
          },
          name};
}

CLI::Validator Between(std::int64_t least, std::int64_t most) {
  return NumberCheck(least, most, "an integer");
}

CLI::Validator NumberBetween(double least, double most) {
  return NumberCheck(least, most, "a number");
}

CLI::Validator AtLeast(std::int64_t least) {
  return Between(least, std::numeric_limits<std::int64_t>::max());
}

CLI::Validator NumberAtLeast(double least) {
  return NumberBetween(least, std::numeric_limits<double>::max());
}

CLI::Validator AsBytes() {
  return {[convert = CLI::AsSizeValue(/*kb_is_1000=*/true)](std::string& text) -> std::string {
            const std::string typed = text;
            try {
              return convert(text);
            } catch (const CLI::ValidationError&) {
              return fmt::format("must be a number of bytes, as in 256MB or 80GiB, not '{}'",
                                 typed);
            }
          },
          ""};
}

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
                 "where captions are stored: txt or json.NAME (data.captions); default: a list "
                 "json.captions, else txt, else json.caption")
      ->delimiter(',');
  app.add_option("--caption-weights", weights,
                 "weight of each of --captions (data.caption_weights)")
      ->delimiter(',');
  app.add_option("--caption-lines", lines,
                 "a .txt is one caption (whole) or has one per line (split); auto: split for eval, "
                 "whole otherwise")
      ->check(OneOf({"auto", "split", "whole"}))
      ->capture_default_str();
}

CaptionLines CaptionOptions::LinesOr(CaptionLines otherwise) const {
  return CaptionLinesOf(lines, otherwise);
}

std::vector<CaptionKey> CaptionOptions::Parsed() const {
  try {
    return ParseCaptionKeys(keys, weights);
  } catch (const std::invalid_argument& error) {
    throw UsageError(error.what());
  }
}

void OrderWords::AddTo(CLI::App& app) {
  app.add_option("--tail", tail, "records that do not fill the last batch of an epoch (data.tail)")
      ->check(OneOf({"drop", "pad", "carry"}))
      ->capture_default_str();
  app.add_option("--weights", mix.weights, "sampling weight of each source (data.weights)")
      ->delimiter(',');
  app.add_option("--repeats", mix.repeats,
                 "how often an epoch takes each record, per source (data.repeats)")
      ->delimiter(',');
  app.add_option("--counts", mix.counts, "records per epoch of each source (data.counts)")
      ->delimiter(',');
  app.add_option("--epoch-samples", mix.epoch_samples,
                 "samples per epoch; 0: automatic (data.epoch_samples)")
      ->check(AtLeast(0))
      ->capture_default_str();
  app.add_flag("--resampled", mix.resampled, "sample with replacement (data.resampled)");
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
                 "column (.jsonl: field) with the image path; default: filepath, image, path, "
                 "file_name, …");
  app.add_option("--caption-key", caption_key,
                 "column (.jsonl: field) with the caption; default: caption, title, text");
  app.add_option(
      "--separator", separator,
      "separator of a .csv or .tsv: one character, or tab; default: detected from the first "
      "line");
}

TableKeys TableOptions::Parsed() const {
  TableKeys keys{.image = image_key, .caption = caption_key};
  try {
    if (!separator.empty()) keys.separator = ParseSeparator(separator);
  } catch (const std::invalid_argument& error) {
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
  app.add_option("--formats", formats, "image formats to read: any of jpeg, png, webp, gif, bmp")
      ->delimiter(',')
      ->capture_default_str();
  app.add_flag("--exif-rotate", exif_rotate, "rotate images according to their EXIF orientation");
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
         "exact: bit-identical to Pillow; fast: decode large JPEGs at a reduced size")
      ->check(OneOf({"exact", "fast"}))
      ->default_str("exact");
}

bool ParseArguments(CLI::App& app, int argc, const char* const* argv) {
  try {
    app.parse(argc, argv);
    return true;
  } catch (const CLI::Success& help) {
    std::ostringstream text;
    app.exit(help, text, std::cerr);
    std::cout << WithProgramTyped(text.str());
    return false;
  } catch (const CLI::ExtrasError&) {
    ThrowUsage(app, DescribeExtra(app));
  } catch (const CLI::RequiredError& error) {
    // An option that is not known may be the required one by another name.
    ThrowUsage(app, HasUnknownOption(app) ? DescribeExtra(app) : error.what());
  } catch (const CLI::ConversionError& error) {
    ThrowUsage(app, DescribeConversion(app, error.what()));
  } catch (const CLI::ArgumentMismatch& error) {
    ThrowUsage(app, DescribeMismatch(app, error.what()));
  } catch (const CLI::ValidationError& error) {
    std::string reason = error.what();  // "--encode: must be …"
    if (const std::size_t colon = reason.find(": must be "); colon != reason.npos) {
      reason.erase(colon, 1);
    }
    ThrowUsage(app, reason);
  } catch (const CLI::ParseError& error) {
    ThrowUsage(app, error.what());
  }
}

}  // namespace fastclip

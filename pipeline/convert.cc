#include "pipeline/convert.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <stdexcept>
#include <utility>
#include <variant>

#include "pipeline/atomic_file.h"
#include "pipeline/compute_pool.h"
#include "pipeline/encode.h"
#include "pipeline/in_order.h"
#include "pipeline/tar_writer.h"

namespace fastclip {
namespace {

namespace fs = std::filesystem;

/// Rows that one task reads and encodes.
constexpr std::int64_t kRowsPerTask = 16;

using Json = nlohmann::ordered_json;

/// A picture as it goes into the shard.
struct Packed {
  const char* extension = "";
  std::vector<std::byte> image;
  ImageSize size, original;
};

struct Row {
  std::int64_t row = 0;
  std::string key;  // of the source
  std::variant<Packed, Skip> content = Skip::kMissing;
  std::vector<std::string> captions;
  std::int64_t label = -1;
};

const char* ExtensionOf(std::span<const std::byte> image) {
  switch (image.empty() ? std::byte{0} : image.front()) {
    case std::byte{0x89}:
      return "png";
    case std::byte{'R'}:
      return "webp";
    case std::byte{'G'}:
      return "gif";
    case std::byte{'B'}:
      return "bmp";
    default:
      return "jpg";
  }
}

/// torchvision's Resize: the longer side is rounded down.
ImageSize Shrunk(const Image& image, int shorter_side) {
  const int shorter = std::min(image.width, image.height);
  if (shorter_side == 0 || shorter <= shorter_side) return {image.width, image.height};
  const auto scale = [&](int side) {
    return static_cast<int>(std::int64_t{side} * shorter_side / shorter);
  };
  return {scale(image.width), scale(image.height)};
}

std::variant<Packed, Skip> Keep(std::span<const std::byte> bytes, const ConvertOptions& options) {
  const auto size = ReadImageSize(bytes, options.decode);
  if (const Skip* skip = std::get_if<Skip>(&size)) return *skip;
  const ImageSize known = std::get<ImageSize>(size);
  return Packed{ExtensionOf(bytes), {bytes.begin(), bytes.end()}, known, known};
}

std::variant<Packed, Skip> Encode(std::span<const std::byte> bytes, const ConvertOptions& options) {
  auto decoded = options.background ? DecodeImageOver(bytes, *options.background, options.decode)
                                    : DecodeImage(bytes, options.decode);
  if (const Skip* skip = std::get_if<Skip>(&decoded)) return *skip;
  Image image = std::move(std::get<Image>(decoded));
  Packed packed;
  packed.original = {image.width, image.height};
  packed.size = Shrunk(image, options.resize);
  const bool is_jpeg = options.encoding == Encoding::kJpeg;
  if (!(is_jpeg ? FitsJpeg(packed.size) : FitsPng(packed.size))) return Skip::kTooLarge;
  if (packed.size.width != image.width || packed.size.height != image.height) {
    Image smaller{packed.size.width, packed.size.height, {}};
    smaller.pixels.resize(static_cast<std::size_t>(smaller.width) *
                          static_cast<std::size_t>(smaller.height) * 3);
    ResizeBicubic(image, {0, 0, image.height, image.width}, smaller.width, smaller.height,
                  smaller.pixels);
    image = std::move(smaller);
  }
  packed.extension = is_jpeg ? "jpg" : "png";
  packed.image = is_jpeg ? EncodeJpeg(image, options.quality) : EncodePng(image);
  return packed;
}

std::vector<Row> PackRows(const RecordSource& source, std::int64_t first,
                          const ConvertOptions& options) {
  const auto count = static_cast<int>(std::min(kRowsPerTask, source.size() - first));
  const RecordBlock block = source.Read(SampleIndex{first}, count, {});
  std::vector<Row> rows;
  for (const Record& record : block.records) {
    Row& row = rows.emplace_back();
    row.row = ToInt(record.index);
    row.key = record.key;
    row.label = record.label;
    if (record.skip) {
      row.content = *record.skip;
      continue;
    }
    for (const Caption& caption : record.captions) row.captions.emplace_back(caption.text);
    row.content = options.encoding == Encoding::kKeep ? Keep(record.image, options)
                                                      : Encode(record.image, options);
  }
  return rows;
}

std::span<const std::byte> AsBytes(const std::string& text) {
  return std::as_bytes(std::span(text));
}

std::string Dump(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

/// Digits of the largest place in a shard: 10,000 records → 4.
int PlaceDigits(std::int64_t records_per_shard) {
  int digits = 1;
  for (std::int64_t largest = records_per_shard - 1; largest >= 10; largest /= 10) ++digits;
  return digits;
}

/// Fills shard after shard with rows in order.
class ShardSequence {
 public:
  ShardSequence(fs::path folder, const ConvertOptions& options, ConvertReport& report)
      : folder_(std::move(folder)),
        options_(options),
        report_(report),
        place_digits_(PlaceDigits(options.records_per_shard)) {}

  void Add(const Row& row) {
    ++report_.done.rows;
    if (const Skip* skip = std::get_if<Skip>(&row.content)) {
      ++report_.skips[static_cast<std::size_t>(*skip)];
      if (report_.skipped.size() < ConvertReport::kMaxNamed) {
        report_.skipped.push_back({row.row, row.key, *skip});
      }
      return;
    }
    const Packed& packed = std::get<Packed>(row.content);
    if (!writer_) {
      writer_.emplace((folder_ / fmt::format("{:05}.tar", report_.shards)).string());
      place_ = 0;
    }
    const std::int64_t before = writer_->size();
    const std::string key = fmt::format("{:05}{:0{}}", report_.shards, place_, place_digits_);
    writer_->Add(fmt::format("{}.{}", key, packed.extension), packed.image);
    writer_->Add(key + ".txt", AsBytes(row.captions.front()));
    if (row.label >= 0) writer_->Add(key + ".cls", AsBytes(std::to_string(row.label)));
    writer_->Add(key + ".json", AsBytes(Dump(Describe(row, packed, key), -1)));
    report_.done.bytes += writer_->size() - before;
    ++report_.done.written;
    if (++place_ == options_.records_per_shard ||
        (options_.max_bytes > 0 && writer_->size() >= options_.max_bytes)) {
      Close();
    }
  }

  void Close() {
    if (!writer_) return;
    writer_->Close();
    writer_.reset();
    ++report_.shards;
  }

 private:
  static Json Describe(const Row& row, const Packed& packed, const std::string& key) {
    Json json = {{"key", key},
                 {"row", row.row},
                 {"source", row.key},
                 {"caption", row.captions.front()},
                 {"width", packed.size.width},
                 {"height", packed.size.height},
                 {"original_width", packed.original.width},
                 {"original_height", packed.original.height}};
    if (row.captions.size() > 1) json["captions"] = row.captions;
    return json;
  }

  const fs::path folder_;
  const ConvertOptions& options_;
  ConvertReport& report_;
  const int place_digits_;
  std::optional<TarWriter> writer_;
  std::int64_t place_ = 0;
};

void Check(const ConvertOptions& options) {
  const auto require = [](bool ok, const char* reason) {
    if (!ok) throw std::invalid_argument(reason);
  };
  require(options.records_per_shard >= 1 && options.records_per_shard <= 10'000'000,
          "records per shard: 1 to 10,000,000");
  require(options.max_bytes >= 0 && options.resize >= 0,
          "bytes per shard and size cannot be negative");
  require(options.quality >= 1 && options.quality <= 100, "quality: 1 to 100");
  require(options.threads >= 1 && options.threads <= kMostThreads, "threads: 1 to 256");
  const bool changes =
      options.resize > 0 || options.background.has_value() || options.decode.exif_rotate;
  require(options.encoding != Encoding::kKeep || !changes,
          "resize, background and exif-rotate need an encoding, jpg or png");
}

/// OUT_DIR.unfinished, empty: what an interrupted run left there is removed, anything else refused.
fs::path BeginFolder(const fs::path& out_dir) {
  std::error_code ignored;
  if (fs::exists(out_dir) && !(fs::is_directory(out_dir) && fs::is_empty(out_dir, ignored))) {
    throw std::runtime_error(
        fmt::format("{}: exists already; name a new folder, or remove it", out_dir.string()));
  }
  const fs::path folder = out_dir.string() + ".unfinished";
  if (fs::exists(folder)) {
    for (const auto& entry : fs::directory_iterator(folder)) {
      const std::string name = entry.path().filename().string();
      if (!name.ends_with(".tar") && !name.ends_with(".tmp") && name != "convert.json") {
        throw std::runtime_error(
            fmt::format("{}: not of ours; move it away", entry.path().string()));
      }
    }
    fs::remove_all(folder);
  }
  fs::create_directories(folder);
  return folder;
}

void WriteReport(const fs::path& path, const ConvertReport& report) {
  Json json = {{"rows", report.done.rows},
               {"records", report.done.written},
               {"shards", report.shards},
               {"bytes", report.done.bytes}};
  for (int cause = 0; cause < kSkipCauses; ++cause) {
    json["left_out"][SkipName(static_cast<Skip>(cause))] =
        report.skips[static_cast<std::size_t>(cause)];
  }
  json["named"] = Json::array();
  for (const auto& [row, key, cause] : report.skipped) {
    json["named"].push_back({{"row", row}, {"source", key}, {"cause", SkipName(cause)}});
  }
  AtomicFile file(path.string());
  file.Append(AsBytes(Dump(json, 1) + "\n"));
  file.Commit();
}

}  // namespace

ConvertReport Convert(const RecordSource& source, const std::string& out_dir,
                      const ConvertOptions& options,
                      const std::function<void(const ConvertProgress&)>& on_progress) {
  Check(options);
  const fs::path target = fs::path(out_dir) / "";
  const fs::path out = target.parent_path();  // without a slash at its end
  const fs::path folder = BeginFolder(out);
  ConvertReport report;
  report.done.rows_total = source.size();
  ShardSequence shards(folder, options, report);

  const std::int64_t tasks = (source.size() + kRowsPerTask - 1) / kRowsPerTask;
  ForEachInOrder(
      tasks, options.threads,
      [&](std::int64_t task) { return PackRows(source, task * kRowsPerTask, options); },
      [&](const std::vector<Row>& rows) {
        for (const Row& row : rows) shards.Add(row);
        if (on_progress) on_progress(report.done);
      });
  shards.Close();
  if (report.done.written == 0) {
    fs::remove_all(folder);
    throw std::runtime_error(fmt::format("none of {} rows can be packed; the first, '{}': {}",
                                         report.done.rows, report.skipped.front().key,
                                         SkipName(report.skipped.front().cause)));
  }
  WriteReport(folder / "convert.json", report);
  fs::rename(folder, out);
  SyncFolder(out.parent_path().string());
  return report;
}

}  // namespace fastclip

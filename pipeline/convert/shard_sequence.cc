#include "pipeline/convert/shard_sequence.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "pipeline/base/ascii.h"
#include "pipeline/records/json_members.h"
#include "pipeline/shards/tar_scan.h"

namespace fastclip {
namespace {

using Json = nlohmann::ordered_json;

std::span<const std::byte> AsBytes(const std::string& text) {
  return std::as_bytes(std::span(text));
}

std::string_view AsText(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Digits of the largest place in a shard: 10,000 records → 4.
int PlaceDigits(std::int64_t records_per_shard) {
  int digits = 1;
  for (std::int64_t largest = records_per_shard - 1; largest >= 10; largest /= 10) ++digits;
  return digits;
}

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// The names in a .json that are ours.
bool IsOurs(std::string_view name) {
  static constexpr std::string_view kOurs[] = {
      "key",   "row",    "source",         "caption",        "captions",
      "width", "height", "original_width", "original_height"};
  return std::ranges::find(kOurs, name) != std::end(kOurs);
}

}  // namespace

ShardSequence::ShardSequence(const std::filesystem::path& folder, const ConvertOptions& options,
                             ConvertReport& report)
    : folder_(folder),
      options_(options),
      report_(report),
      place_digits_(PlaceDigits(options.records_per_shard)) {}

void ShardSequence::Add(const PackedRow& row) {
  ++report_.done.rows;
  if (const Skip* skip = std::get_if<Skip>(&row.picture)) {
    const Record& record = row.stored.record();
    ++report_.skips[*skip];
    if (report_.skipped.size() < ConvertReport::kMaxNamed) {
      report_.skipped.push_back({ToInt(record.index), std::string(record.key), *skip});
    }
    return;
  }
  if (!writer_) {
    writer_.emplace((folder_ / fmt::format("{:05}.tar", report_.shards)).string());
    place_ = 0;
    keys_.clear();
  }
  const std::int64_t before = writer_->size();
  const PackedPicture& picture = std::get<PackedPicture>(row.picture);
  row.stored.members.empty() ? Make(row, picture) : Copy(row, picture);
  report_.done.bytes += writer_->size() - before;
  ++report_.done.written;
  if (++place_ == options_.records_per_shard ||
      (options_.max_bytes > 0 && writer_->size() >= options_.max_bytes)) {
    Close();
  }
}

/// Readers take neighbours with one key for one record, some take all of a shard for it.
std::string ShardSequence::UniqueKey(std::string key) {
  int wanted = ++keys_[key];
  if (wanted == 1) return key;
  std::string other;
  do {
    other = fmt::format("{}-{}", key, wanted++);
  } while (!keys_.emplace(other, 1).second);
  keys_[key] = wanted - 1;
  if (report_.renamed++ == 0) report_.first_renamed = fmt::format("{} → {}", key, other);
  return other;
}

void ShardSequence::Copy(const PackedRow& row, const PackedPicture& picture) {
  const bool is_new = !picture.image.empty();
  const auto& members = row.stored.members;
  const std::string old_key(SplitMemberName(members.front().path)->key);
  const std::string key = UniqueKey(old_key);
  const std::byte* const image = row.stored.record().image.data();
  for (const auto& [path, bytes] : members) {
    const std::string_view field = SplitMemberName(path)->field;
    const bool is_image = bytes.data() == image;
    if (is_image && is_new) {
      writer_->Add(fmt::format("{}.{}", key, picture.extension), picture.image);
    } else if (is_new && EqualsInAnyCase(field, picture.extension)) {
      ++report_.replaced;
    } else {
      const std::string name = key == old_key ? path : fmt::format("{}.{}", key, field);
      if (is_new && RoleOf(field) == Role::kMetadata) {
        const std::array<std::pair<std::string_view, std::int64_t>, 2> sizes = {
            {{"width", picture.size.width}, {"height", picture.size.height}}};
        writer_->Add(name, AsBytes(WithNumbers(AsText(bytes), sizes)));
      } else {
        writer_->Add(name, bytes);
      }
    }
  }
  ++report_.copied;
  report_.others += row.stored.others;
}

/// The .json of a record that is not copied.
std::string ShardSequence::Describe(const StoredRecord& stored, const PackedPicture& picture,
                                    const std::string& key) {
  const Record& record = stored.record();
  Json json = {{"key", key}, {"row", ToInt(record.index)}, {"source", std::string(record.key)}};
  if (!record.captions.empty()) json["caption"] = std::string(record.captions.front().text);
  json["width"] = picture.size.width;
  json["height"] = picture.size.height;
  json["original_width"] = picture.original.width;
  json["original_height"] = picture.original.height;
  if (record.captions.size() > 1) {
    for (const Caption& caption : record.captions)
      json["captions"].push_back(std::string(caption.text));
  }
  std::string text = Dump(json);
  text.pop_back();  // the brace
  std::unordered_map<std::string, int> seen;
  for (const StoredField& field : stored.fields) {
    std::string name = field.name;
    if (IsOurs(name)) {
      report_.moved_fields.insert(name);
      name = "source_" + name;
    }
    // Columns of one name get numbers, as pandas gives them.
    if (const int before = seen[name]++; before > 0) name += fmt::format(".{}", before);
    text += fmt::format(",{}:{}", Dump(name), field.json);
  }
  return text + "}";
}

void ShardSequence::Make(const PackedRow& row, const PackedPicture& picture) {
  const Record& record = row.stored.record();
  const std::string key =
      UniqueKey(fmt::format("{:05}{:0{}}", report_.shards, place_, place_digits_));
  writer_->Add(fmt::format("{}.{}", key, picture.extension),
               picture.image.empty() ? record.image : std::span(picture.image));
  if (!record.captions.empty()) {
    const std::string_view caption = record.captions.front().text;
    // With several captions the list in the .json is read, not the .txt.
    const bool alone = record.captions.size() == 1;
    report_.broken_captions += alone && caption.find('\n') != caption.npos ? 1 : 0;
    writer_->Add(key + ".txt", AsBytes(std::string(caption)));
  }
  report_.bad_labels += row.stored.bad_label ? 1 : 0;
  if (record.label >= 0) writer_->Add(key + ".cls", AsBytes(std::to_string(record.label)));
  writer_->Add(key + ".json", AsBytes(Describe(row.stored, picture, key)));
}

void ShardSequence::Close() {
  if (!writer_) return;
  writer_->Close();
  writer_.reset();
  ++report_.shards;
}

}  // namespace fastclip

#include "pipeline/tar_records.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "pipeline/ascii.h"
#include "pipeline/json_path.h"
#include "pipeline/sidecar.h"
#include "pipeline/tar_scan.h"

namespace fastclip {
namespace {

/// A longer .json is not searched for captions.
constexpr std::size_t kMaxMetadata = 1 << 20;

struct Parts {
  std::span<const std::byte> image, caption, label, metadata;
  int image_rank = 0;  // a smaller one wins; 0: none yet
  bool has_caption = false;
  bool cut = false;
};

/// OpenCLIP's order of preference, then what it does not take.
int ImageRank(std::string_view field) {
  static constexpr std::string_view kOrder[] = {"jpg", "png", "jpeg", "webp", "gif", "bmp"};
  int rank = 1;
  for (const std::string_view name : kOrder) {
    if (EqualsInAnyCase(field, name)) break;
    ++rank;
  }
  return rank;
}

std::string_view AsText(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void Take(std::string_view field, std::span<const std::byte> data, bool cut,
          const PictureFormats& formats, Parts& parts) {
  parts.cut |= cut;
  switch (RoleOf(field)) {
    case Role::kImage:
      if (!formats.Has(*FormatOfExtension(field))) break;
      if (const int rank = ImageRank(field); parts.image_rank == 0 || rank < parts.image_rank) {
        parts.image_rank = rank;
        parts.image = data;
      }
      break;
    case Role::kCaption:
      parts.caption = data;
      parts.has_caption = true;
      break;
    case Role::kLabel:
      parts.label = data;
      break;
    case Role::kMetadata:
      parts.metadata = data;
      break;
    case Role::kOther:
      break;
  }
}

/// The .json of a record, parsed when it is first asked for.
class Metadata {
 public:
  explicit Metadata(std::string_view text) : text_(text) {}

  /// What lies at `path`; null where nothing does. A text without the path's first name is not
  /// parsed.
  const nlohmann::ordered_json* At(std::span<const std::string> path) {
    // Names may be written with escapes.
    const bool may_have = text_.find(fmt::format("\"{}\"", path.front())) != text_.npos ||
                          text_.find('\\') != text_.npos;
    if (text_.size() > kMaxMetadata || !may_have) return nullptr;
    if (!parsed_) {
      parsed_ = nlohmann::ordered_json::parse(text_, nullptr, /*allow_exceptions=*/false);
    }
    return FindAt(*parsed_, path);
  }

 private:
  std::string_view text_;
  std::optional<nlohmann::ordered_json> parsed_;
};

void AddIfText(const nlohmann::ordered_json& value, BlockBuilder& builder) {
  if (value.is_string()) {
    builder.AddTrimmedCaption(builder.Keep(value.get_ref<const std::string&>()));
  }
}

/// A text, or the texts of a list.
void AddFrom(const nlohmann::ordered_json* value, BlockBuilder& builder) {
  if (value == nullptr) return;
  AddIfText(*value, builder);
  if (!value->is_array()) return;
  for (const auto& text : *value) AddIfText(text, builder);
}

/// The captions that `keys` name. Without keys: the list "captions" of the .json, as `fastclip
/// shards convert` writes it for several captions; else the .txt; else the text "caption" of the
/// .json.
void AddCaptions(const Parts& parts, std::span<const CaptionKey> keys, BlockBuilder& builder) {
  static const std::string kList[] = {"captions"}, kOne[] = {"caption"};
  Metadata metadata(AsText(parts.metadata));
  for (const CaptionKey& key : keys) {
    const std::size_t before = builder.CaptionsOfLast();
    if (key.json_path.empty()) {
      builder.AddTrimmedCaption(AsText(parts.caption));
    } else {
      AddFrom(metadata.At(key.json_path), builder);
    }
    builder.ShareWeight(builder.CaptionsOfLast() - before, key.weight);
  }
  if (!keys.empty()) return;
  if (const auto* list = metadata.At(kList); list != nullptr && list->is_array()) {
    AddFrom(list, builder);
  }
  if (builder.CaptionsOfLast() == 0) builder.AddTrimmedCaption(AsText(parts.caption));
  if (builder.CaptionsOfLast() == 0) {
    if (const auto* one = metadata.At(kOne); one != nullptr) AddIfText(*one, builder);
  }
}

Label LabelOf(const Parts& parts, const LabelKey& key) {
  if (key.json_path.empty()) return ParseLabel(AsText(parts.label));
  const std::string_view json = AsText(parts.metadata);
  if (json.size() > kMaxMetadata) return {};
  return LabelAt(nlohmann::ordered_json::parse(json, nullptr, /*allow_exceptions=*/false),
                 key.json_path);
}

/// A picture with a label.
void AddLabelled(const Parts& parts, const LabelKey& key, bool at_cut, Record& record) {
  const Label label = LabelOf(parts, key);
  record.image = parts.image;
  record.label = label.value;
  if (at_cut && (parts.image_rank == 0 || label.skip == Skip::kNoLabel)) {
    record.skip = Skip::kTruncated;
  } else if (parts.image_rank == 0) {
    record.skip = Skip::kNoImage;
  } else {
    record.skip = label.skip;
  }
}

/// `at_cut`: the record is the last of a shard that was cut, so what it lacks was cut off.
void AddRecord(SampleIndex index, std::string_view key, const Parts& parts, bool at_cut,
               const WantedFields& wanted, BlockBuilder& builder) {
  const std::string_view kept = builder.Keep(key);
  Record& record = builder.Add(index);
  record.key = kept;
  if (parts.cut) {
    record.skip = Skip::kTruncated;
    return;
  }
  if (wanted.labels) return AddLabelled(parts, *wanted.labels, at_cut, record);
  record.image = parts.image;
  record.label = ParseLabel(AsText(parts.label)).value;
  AddCaptions(parts, wanted.captions, builder);
  const bool has_captions = builder.CaptionsOfLast() > 0;
  if (at_cut && (parts.image_rank == 0 || !(has_captions || parts.has_caption))) {
    record.skip = Skip::kTruncated;
  } else if (parts.image_rank == 0) {
    record.skip = Skip::kNoImage;
  } else if (!has_captions) {
    record.skip = Skip::kNoCaption;
  }
}

}  // namespace

std::size_t FetchedRecords::SizeOf(std::size_t record) const {
  return starts[record + 1] > starts[record]
             ? std::size_t{starts[record + 1] - starts[record]} * kTarBlock
             : 0;
}

std::span<const std::byte> FetchedRecords::BytesOf(std::size_t record) const {
  const std::size_t at =
      std::min(std::size_t{starts[record] - starts[0]} * kTarBlock, bytes.size());
  return bytes.subspan(at, std::min(SizeOf(record), bytes.size() - at));
}

void AddRecords(const FetchedRecords& fetched, const WantedFields& wanted, BlockBuilder& builder,
                StoredRecord* stored) {
  const std::size_t count = fetched.starts.size() - 1;
  for (std::size_t i = 0; i < count; ++i) {
    const SampleIndex index{ToInt(fetched.first) + static_cast<std::int64_t>(i)};
    const auto bytes = fetched.BytesOf(i);
    if (!fetched.checksums.empty() &&
        RecordChecksum(XXH3_64bits(bytes.data(), bytes.size())) != fetched.checksums[i]) {
      builder.Add(index).skip = Skip::kChanged;
      continue;
    }
    // Each by itself: a damaged header changes how libarchive takes what comes behind it, and what
    // a record is must not depend on which records are fetched with it.
    Parts parts;
    std::string key;
    WalkTar(bytes, [&](const TarMember& member) {
      const auto name = SplitMemberName(member.path);
      if (!name && stored != nullptr) ++stored->others;
      if (!name) return;
      const auto at = static_cast<std::size_t>(member.data_at),
                 size = static_cast<std::size_t>(member.size);
      const bool cut = at > bytes.size() || size > bytes.size() - at;
      if (key.empty()) key = name->key;
      const auto data = cut ? std::span<const std::byte>() : bytes.subspan(at, size);
      if (stored != nullptr) stored->members.push_back({std::string(member.path), data});
      Take(name->field, data, cut, wanted.formats, parts);
    });
    const bool short_read = fetched.SizeOf(i) > bytes.size();
    AddRecord(index, key, parts,
              short_read || key.empty() || (fetched.last_at_cut && i + 1 == count), wanted,
              builder);
  }
}

}  // namespace fastclip

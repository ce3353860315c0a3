#include "pipeline/shards/tar_records.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "pipeline/base/ascii.h"
#include "pipeline/base/json_path.h"
#include "pipeline/base/python_json.h"
#include "pipeline/base/text_encoding.h"
#include "pipeline/shards/sidecar.h"
#include "pipeline/shards/tar_scan.h"

namespace fastclip {
namespace {

/// A longer .json is not read.
constexpr std::size_t kMaxMetadata = 16 << 20;
/// A sparse member is at most so many times as large as what is stored of it, and a little: so that
/// a shard of headers alone does not fill the memory. Pictures and texts are hardly ever sparse.
constexpr std::int64_t kMostSparse = 16, kLittle = 16 << 10;

struct Parts {
  std::span<const std::byte> image, caption, label, metadata;
  int image_rank = 0;  // a smaller one wins; 0: none yet
  bool has_caption = false;
  bool cut = false;
  bool too_large = false;
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

/// The .json of a record, parsed when it is first asked for; of it only what lies at `paths`.
class Metadata {
 public:
  Metadata(std::string_view text, std::span<const JsonPath> paths) : text_(text), paths_(paths) {}

  /// What lies at one of the paths; null where nothing does. A text without the path's first name
  /// is not parsed.
  const nlohmann::ordered_json* At(const JsonPath& path) {
    if (!MayHave(path.front()) || !IsJson()) return nullptr;
    return FindAt(**parsed_, path);
  }
  /// Whether a record has a .json, and it cannot be read.
  bool IsBad() { return text_.data() != nullptr && !IsJson(); }

 private:
  bool MayHave(const std::string& name) const {
    // Names may be written with escapes, or in UTF-16.
    return text_.find(fmt::format("\"{}\"", name)) != text_.npos ||
           text_.find('\\') != text_.npos || EncodingOf(text_).unit > 1;
  }
  bool IsJson() {
    if (text_.size() > kMaxMetadata) return false;
    if (!parsed_) parsed_ = ParsePythonJson(text_, paths_);
    return parsed_->has_value();
  }

  std::string_view text_;
  std::span<const JsonPath> paths_;
  std::optional<std::optional<nlohmann::ordered_json>> parsed_;
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

const JsonPath kCaptionList = {"captions"}, kOneCaption = {"caption"};

/// The fields of a .json that are read.
std::vector<JsonPath> PathsOf(const WantedFields& wanted) {
  std::vector<JsonPath> paths;
  if (wanted.labels) {
    if (!wanted.labels->json_path.empty()) paths.push_back(wanted.labels->json_path);
    return paths;
  }
  for (const CaptionKey& key : wanted.captions) {
    if (!key.json_path.empty()) paths.push_back(key.json_path);
  }
  if (wanted.captions.empty()) paths = {kCaptionList, kOneCaption};
  return paths;
}

/// The captions that `keys` name. Without keys: the list "captions" of the .json, as `fastclip
/// shards convert` writes it for several captions; else the .txt; else the text "caption" of the
/// .json. Returns whether a .txt of several lines is among them.
bool AddCaptions(const Parts& parts, const WantedFields& wanted, Metadata& metadata,
                 BlockBuilder& builder) {
  const std::span<const CaptionKey> keys = wanted.captions;
  bool several_lines = false;
  const auto add_txt = [&] {
    const std::string_view text = AsText(parts.caption);
    several_lines |= HasSeveralLines(text);
    if (wanted.caption_lines == CaptionLines::kSplit) {
      builder.AddCaptionLines(text);
    } else {
      builder.AddTrimmedCaption(text);
    }
  };
  for (const CaptionKey& key : keys) {
    const std::size_t before = builder.CaptionsOfLast();
    if (key.json_path.empty()) {
      add_txt();
    } else {
      AddFrom(metadata.At(key.json_path), builder);
    }
    builder.ShareWeight(builder.CaptionsOfLast() - before, key.weight);
  }
  if (!keys.empty()) return several_lines;
  if (const auto* list = metadata.At(kCaptionList); list != nullptr && list->is_array()) {
    AddFrom(list, builder);
  }
  if (builder.CaptionsOfLast() == 0) add_txt();
  if (builder.CaptionsOfLast() == 0) {
    if (const auto* one = metadata.At(kOneCaption); one != nullptr) AddIfText(*one, builder);
  }
  return several_lines;
}

Label LabelOf(const Parts& parts, const WantedFields& wanted, Metadata& metadata) {
  const JsonPath& path = wanted.labels->json_path;
  if (path.empty()) return ParseLabel(AsText(parts.label), wanted.class_names.get());
  if (metadata.IsBad()) return {-1, Skip::kBadJson};
  const nlohmann::ordered_json* value = metadata.At(path);
  return value == nullptr ? Label() : LabelAt(*value, {}, wanted.class_names.get());
}

/// A picture with a label.
void AddLabelled(const Parts& parts, const WantedFields& wanted, Metadata& metadata, bool at_cut,
                 Record& record) {
  const Label label = LabelOf(parts, wanted, metadata);
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
/// Returns whether a .txt of several lines is its caption.
bool AddRecord(SampleIndex index, std::string_view key, const Parts& parts, bool at_cut,
               const WantedFields& wanted, std::span<const JsonPath> paths, BlockBuilder& builder) {
  const std::string_view kept = builder.Keep(key);
  Record& record = builder.Add(index);
  record.key = kept;
  if (parts.cut) {
    record.skip = Skip::kTruncated;
    return false;
  }
  if (parts.too_large) {
    record.skip = Skip::kTooLarge;
    return false;
  }
  Metadata metadata(AsText(parts.metadata), paths);
  if (wanted.labels) {
    AddLabelled(parts, wanted, metadata, at_cut, record);
    return false;
  }
  record.image = parts.image;
  record.label = ParseLabel(AsText(parts.label)).value;
  const bool several_lines = AddCaptions(parts, wanted, metadata, builder);
  const bool has_captions = builder.CaptionsOfLast() > 0;
  if (at_cut && (parts.image_rank == 0 || !(has_captions || parts.has_caption))) {
    record.skip = Skip::kTruncated;
  } else if (parts.image_rank == 0) {
    record.skip = Skip::kNoImage;
  } else if (builder.FaultOfCaptions()) {
    record.skip = builder.FaultOfCaptions();
  } else if (!has_captions) {
    record.skip = metadata.IsBad() ? Skip::kBadJson : Skip::kNoCaption;
  }
  return several_lines;
}

bool IsPlain(std::string_view name) {
  constexpr std::size_t kLongest = 64;
  return name.size() <= kLongest && std::ranges::none_of(name, [](char c) {
           return static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7F;
         });
}

/// A text, or a list that begins with one.
bool HoldsText(const nlohmann::ordered_json& value) {
  return value.is_string() || (value.is_array() && !value.empty() && value.front().is_string());
}

/// The bytes of a sparse member; false where they would be too many. `room`: for those of the
/// record.
bool TakeSparse(const TarMember& member, std::int64_t& room, BlockBuilder& builder,
                std::span<const std::byte>& data) {
  if (member.size > room || member.size > kMostSparse * member.stored + kLittle) return false;
  room -= member.size;
  const auto memory = builder.Allocate(static_cast<std::size_t>(member.size));
  if (member.expand(memory)) data = memory;
  return true;
}

}  // namespace

std::vector<std::string> FieldNames(std::span<const std::byte> bytes) {
  constexpr std::size_t kMost = 100;
  std::vector<std::string> names;
  const auto add = [&](std::string name) {
    if (names.size() < kMost && IsPlain(name)) names.push_back(std::move(name));
  };
  WalkTar(bytes, [&](const TarMember& member) {
    const auto name = SplitMemberName(member.path);
    if (!name) return;
    add(std::string(name->field));
    const auto at = static_cast<std::size_t>(member.data_at);
    const auto size = static_cast<std::size_t>(member.size);
    if (RoleOf(name->field) != Role::kMetadata || at > bytes.size() || size > bytes.size() - at ||
        size > kMaxMetadata) {
      return;
    }
    const auto json = ParsePythonJson(AsText(bytes.subspan(at, size)));
    if (!json || !json->is_object()) return;
    for (const auto& [key, value] : json->items()) {
      if (HoldsText(value)) add("json." + key);
    }
  });
  return names;
}

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

std::int64_t AddRecords(const FetchedRecords& fetched, const WantedFields& wanted,
                        BlockBuilder& builder, StoredRecord* stored) {
  const std::size_t count = fetched.starts.size() - 1;
  std::int64_t of_several_lines = 0;
  const std::vector<JsonPath> paths = PathsOf(wanted);
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
    std::int64_t room = wanted.max_record_bytes;
    WalkTar(bytes, [&](const TarMember& member) {
      const auto name = SplitMemberName(member.path);
      if (!name && stored != nullptr) ++stored->others;
      if (!name) return;
      if (key.empty()) key = name->key;
      if (key != name->key) {  // of a record that the places do not know
        if (stored != nullptr) ++stored->others;
        return;
      }
      const auto at = static_cast<std::size_t>(member.data_at),
                 size = static_cast<std::size_t>(member.stored);
      const bool cut = at > bytes.size() || size > bytes.size() - at;
      std::span<const std::byte> data;
      if (member.expand && !cut) {
        parts.too_large |= !TakeSparse(member, room, builder, data);
      } else if (!cut) {
        data = bytes.subspan(at, size);
      }
      if (stored != nullptr) stored->members.push_back({std::string(member.path), data});
      Take(name->field, data, cut, wanted.formats, parts);
    });
    const bool short_read = fetched.SizeOf(i) > bytes.size();
    parts.cut |= short_read && fetched.shortened;
    const bool at_cut = short_read || key.empty() || (fetched.last_at_cut && i + 1 == count);
    if (AddRecord(index, key, parts, at_cut, wanted, paths, builder)) ++of_several_lines;
  }
  return of_several_lines;
}

}  // namespace fastclip

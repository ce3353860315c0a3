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

/// Of a record's .txt, where its captions are taken of it.
struct TakenTexts {
  bool several_lines = false;
  bool too_many_lines = false;  // none of them is taken
};

/// The captions that `keys` name. Without keys: the list "captions" of the .json, as `fastclip
/// shards convert` writes it for several captions; else the .txt; else the text "caption" of the
/// .json.
TakenTexts AddCaptions(const Parts& parts, const WantedFields& wanted, BlockBuilder& builder) {
  static const std::string kList[] = {"captions"}, kOne[] = {"caption"};
  const std::span<const CaptionKey> keys = wanted.captions;
  Metadata metadata(AsText(parts.metadata));
  TakenTexts taken;
  const auto add_txt = [&] {
    const std::string_view text = AsText(parts.caption);
    taken.several_lines |= HasSeveralLines(text);
    if (wanted.caption_lines == CaptionLines::kSplit) {
      taken.too_many_lines |= !builder.AddCaptionLines(text);
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
  if (!keys.empty()) return taken;
  if (const auto* list = metadata.At(kList); list != nullptr && list->is_array()) {
    AddFrom(list, builder);
  }
  if (builder.CaptionsOfLast() == 0) add_txt();
  if (builder.CaptionsOfLast() == 0) {
    if (const auto* one = metadata.At(kOne); one != nullptr) AddIfText(*one, builder);
  }
  return taken;
}

Label LabelOf(const Parts& parts, const LabelKey& key, const ClassNames* names) {
  if (key.json_path.empty()) return ParseLabel(AsText(parts.label), names);
  const std::string_view json = AsText(parts.metadata);
  if (json.size() > kMaxMetadata) return {};
  return LabelAt(nlohmann::ordered_json::parse(json, nullptr, /*allow_exceptions=*/false),
                 key.json_path, names);
}

/// A picture with a label.
void AddLabelled(const Parts& parts, const WantedFields& wanted, bool at_cut, Record& record) {
  const Label label = LabelOf(parts, *wanted.labels, wanted.class_names.get());
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
               const WantedFields& wanted, BlockBuilder& builder) {
  const std::string_view kept = builder.Keep(key);
  Record& record = builder.Add(index);
  record.key = kept;
  if (parts.cut) {
    record.skip = Skip::kTruncated;
    return false;
  }
  if (wanted.labels) {
    AddLabelled(parts, wanted, at_cut, record);
    return false;
  }
  record.image = parts.image;
  record.label = ParseLabel(AsText(parts.label)).value;
  const TakenTexts texts = AddCaptions(parts, wanted, builder);
  const bool has_captions = builder.CaptionsOfLast() > 0;
  if (at_cut && (parts.image_rank == 0 || !(has_captions || parts.has_caption))) {
    record.skip = Skip::kTruncated;
  } else if (parts.image_rank == 0) {
    record.skip = Skip::kNoImage;
  } else if (texts.too_many_lines) {
    record.skip = Skip::kTooLarge;
  } else if (!has_captions) {
    record.skip = Skip::kNoCaption;
  }
  return texts.several_lines;
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
    const auto json = nlohmann::ordered_json::parse(AsText(bytes.subspan(at, size)), nullptr,
                                                    /*allow_exceptions=*/false);
    if (!json.is_object()) return;
    for (const auto& [key, value] : json.items()) {
      if (HoldsText(value)) add("json." + key);
    }
  });
  return names;
}

std::span<const std::byte> FetchedRecords::BytesOf(std::size_t record) const {
  const auto at = [&](std::size_t i) {
    return std::min<std::size_t>(std::size_t{starts[i] - starts[0]} * kTarBlock, bytes.size());
  };
  return bytes.subspan(at(record), std::max(at(record + 1), at(record)) - at(record));
}

std::int64_t AddRecords(const FetchedRecords& fetched, const WantedFields& wanted,
                        BlockBuilder& builder) {
  const auto bytes = fetched.bytes;
  const auto starts = fetched.starts;
  const auto checksums = fetched.checksums;
  const std::size_t count = starts.size() - 1;
  std::vector<Parts> parts(count);
  std::vector<std::string> keys(count);
  WalkTar(bytes, [&](const TarMember& member) {
    const std::int64_t block = starts[0] + member.header_at / kTarBlock;
    const auto next = std::upper_bound(starts.begin(), starts.end(), block);
    const auto name = SplitMemberName(member.path);
    if (next == starts.end() || !name) return;
    const auto i = static_cast<std::size_t>(next - starts.begin()) - 1;
    const auto at = static_cast<std::size_t>(member.data_at),
               size = static_cast<std::size_t>(member.size);
    const bool cut = at > bytes.size() || size > bytes.size() - at;
    if (keys[i].empty()) keys[i] = name->key;
    Take(name->field, cut ? std::span<const std::byte>() : bytes.subspan(at, size), cut,
         wanted.formats, parts[i]);
  });
  std::int64_t of_several_lines = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const SampleIndex index{ToInt(fetched.first) + static_cast<std::int64_t>(i)};
    if (!checksums.empty()) {
      const auto record = fetched.BytesOf(i);
      if (RecordChecksum(XXH3_64bits(record.data(), record.size())) != checksums[i]) {
        builder.Add(index).skip = Skip::kChanged;
        continue;
      }
    }
    const bool short_read = std::size_t{starts[i + 1] - starts[0]} * kTarBlock > bytes.size();
    of_several_lines +=
        AddRecord(index, keys[i], parts[i],
                  short_read || keys[i].empty() || (fetched.last_at_cut && i + 1 == count), wanted,
                  builder)
            ? 1
            : 0;
  }
  return of_several_lines;
}

}  // namespace fastclip

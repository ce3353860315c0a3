#include "pipeline/tar_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "pipeline/block_builder.h"
#include "pipeline/json_path.h"
#include "pipeline/stream_hash.h"
#include "pipeline/tar_scan.h"

namespace fastclip {
namespace {

/// Files kept open: shards that a rank's lanes are in at one time.
constexpr std::size_t kOpenShards = 256;
/// Records are fetched together up to this size.
constexpr std::int64_t kMaxFetch = std::int64_t{8} << 20;
/// Of a chunk that is larger only the beginning is read ahead.
constexpr std::int64_t kMostAhead = std::int64_t{64} << 20;

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
    const bool same = std::ranges::equal(field, name, {}, [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    if (same) break;
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

void AddSkipped(SampleIndex index, Skip cause, BlockBuilder& builder) {
  builder.Add(index).skip = cause;
}

/// Where `count` records of a shard begin, in blocks, and where the last one ends.
std::vector<std::uint32_t> StartsOf(const Sidecar& sidecar, std::int64_t place,
                                    std::int64_t count) {
  std::vector<std::uint32_t> starts(static_cast<std::size_t>(count) + 1);
  sidecar.ReadPlaces(place * static_cast<std::int64_t>(sizeof(std::uint32_t)),
                     std::as_writable_bytes(std::span(starts)));
  return starts;
}

/// Records of a shard that are fetched together.
struct Fetched {
  std::span<const std::byte> bytes;  // fewer where the shard ends early
  /// starts[i] − starts[0] is where record i begins in `bytes`; one more than there are records.
  std::span<const std::uint32_t> starts;
  std::span<const std::uint32_t> checksums;  // none: they are not looked at
  SampleIndex first{};
  bool last_at_cut = false;

  std::span<const std::byte> BytesOf(std::size_t record) const {
    const auto at = [&](std::size_t i) {
      return std::min<std::size_t>(std::size_t{starts[i] - starts[0]} * kTarBlock, bytes.size());
    };
    return bytes.subspan(at(record), std::max(at(record + 1), at(record)) - at(record));
  }
};

void AddFetched(const Fetched& fetched, const WantedFields& wanted, BlockBuilder& builder) {
  const auto& [bytes, starts, checksums, first, last_at_cut] = fetched;
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
  StreamHash hash;
  for (std::size_t i = 0; i < count; ++i) {
    const SampleIndex index{ToInt(first) + static_cast<std::int64_t>(i)};
    hash.Restart();
    if (!checksums.empty()) hash.Add(fetched.BytesOf(i));
    if (!checksums.empty() && RecordChecksum(hash.Digest()) != checksums[i]) {
      AddSkipped(index, Skip::kChanged, builder);
      continue;
    }
    const bool short_read = std::size_t{starts[i + 1] - starts[0]} * kTarBlock > bytes.size();
    AddRecord(index, keys[i], parts[i],
              short_read || keys[i].empty() || (last_at_cut && i + 1 == count), wanted, builder);
  }
}

std::optional<LabelKey> LabelsOf(const SourceOptions& options) {
  if (!options.labels) return std::nullopt;
  LabelKey key = ParseLabelKey(*options.labels);
  if (!key.column.empty()) {
    throw std::runtime_error(
        fmt::format("label key '{0}': tar shards have no columns; write json.{0} for a field of "
                    "their .json members, or leave it out to read .cls members",
                    key.column));
  }
  return key;
}

/// The checksums of the records that begin at `starts`.
std::vector<std::uint32_t> ChecksumsOf(int fd, const std::string& path,
                                       std::span<const std::uint32_t> starts) {
  std::vector<std::uint32_t> checksums;
  std::vector<std::byte> buffer(kMaxFetch);
  StreamHash hash;
  for (std::size_t i = 0; i + 1 < starts.size(); ++i) {
    std::int64_t at = starts[i] * kTarBlock;
    const std::int64_t end = starts[i + 1] * kTarBlock;
    hash.Restart();
    while (at < end) {
      const auto part =
          std::span(buffer).first(static_cast<std::size_t>(std::min(end - at, kMaxFetch)));
      const std::size_t got = ReadAt(fd, at, part, path);
      hash.Add(part.first(got));
      if (got < part.size()) break;
      at += kMaxFetch;
    }
    checksums.push_back(RecordChecksum(hash.Digest()));
  }
  return checksums;
}

}  // namespace

WalkedFile TarSource::Walk(int fd, const std::string& path, bool checksums) {
  const TarScan scan = ScanTar(fd, path);
  WalkedFile walked;
  walked.facts.count = scan.records();
  walked.facts.incomplete = scan.incomplete;
  walked.facts.damaged = scan.damaged;
  walked.facts.cut = scan.cut;
  const auto places = std::as_bytes(std::span(scan.starts));
  walked.places.assign(places.begin(), places.end());
  if (checksums) {
    walked.checksums = ChecksumsOf(fd, path, scan.starts);
    SealChecksums(walked);
  }
  return walked;
}

TarSource::TarSource(IndexedFiles files, const SourceOptions& options)
    : files_(std::move(files)),
      max_record_bytes_(options.max_record_bytes),
      wanted_{options.formats, LabelsOf(options), options.captions},
      verify_(options.verify_checksums),
      first_index_(1, 0),
      shards_(kOpenShards),
      places_(files_, verify_) {
  for (const ManifestEntry& entry : files_.manifest.entries()) {
    first_index_.push_back(first_index_.back() + entry.count);
  }
}

std::size_t TarSource::ShardOf(std::int64_t index) const {
  const auto above = std::upper_bound(first_index_.begin(), first_index_.end(), index);
  return static_cast<std::size_t>(above - first_index_.begin()) - 1;
}

RecordOrigin TarSource::OriginOf(SampleIndex index) const {
  const std::size_t shard = ShardOf(ToInt(index));
  const std::int64_t place = ToInt(index) - first_index_[shard];
  // A shard that is gone still has its sidecar, as a rule.
  const auto sidecar = places_.Open(shard);
  return {.file = files_.paths.at(shard),
          .offset = sidecar == nullptr ? -1 : StartsOf(*sidecar, place, 1).front() * kTarBlock};
}

TarSource::OpenedShard TarSource::OpenShard(std::size_t shard) const {
  const std::string& path = files_.paths[shard];
  for (int attempt = 0; attempt < 2; ++attempt) {
    OpenedShard opened{.file = shards_.Open(path), .places = nullptr};
    if (opened.file == nullptr) return {};
    const FileStamp stamp = StampOf(opened.file->get(), path);
    opened.places = places_.Open(shard, stamp);
    if (opened.places == nullptr) return {};
    if (opened.places->facts().stamp == stamp) return opened;
    shards_.Forget(path);  // another file has its name by now
  }
  throw std::runtime_error(path +
                           ": is being replaced while it is read; start again when it is done");
}

void TarSource::AddFromShard(std::size_t shard, std::int64_t place, std::int64_t count,
                             const std::stop_token& stop, BlockBuilder& builder) const {
  const std::string& path = files_.paths[shard];
  const std::int64_t index = first_index_[shard] + place;
  const auto [file, sidecar] = OpenShard(shard);
  if (file == nullptr) {
    for (std::int64_t i = 0; i < count; ++i)
      AddSkipped(SampleIndex{index + i}, Skip::kMissing, builder);
    return;
  }
  const std::vector<std::uint32_t> starts = StartsOf(*sidecar, place, count);
  std::vector<std::uint32_t> checksums(verify_ ? static_cast<std::size_t>(count) : 0);
  if (verify_) sidecar->ReadChecksums(place, checksums);
  const auto at = [&](std::int64_t i) { return starts[static_cast<std::size_t>(i)] * kTarBlock; };
  for (std::int64_t i = 0; i < count;) {
    if (at(i + 1) - at(i) > max_record_bytes_) {
      AddSkipped(SampleIndex{index + i}, Skip::kTooLarge, builder);
      ++i;
      continue;
    }
    std::int64_t j = i + 1;
    while (j < count && at(j + 1) - at(i) <= std::min(kMaxFetch, max_record_bytes_)) ++j;
    const auto memory =
        builder.Allocate(static_cast<std::size_t>(std::max<std::int64_t>(at(j) - at(i), 0)));
    const std::size_t got = ReadAt(file->get(), at(i), memory, path, stop);
    const auto first = static_cast<std::size_t>(i), records = static_cast<std::size_t>(j - i);
    Fetched fetched{.bytes = memory.first(got),
                    .starts = std::span(starts).subspan(first, records + 1),
                    .checksums = {},
                    .first = SampleIndex{index + i},
                    .last_at_cut = files_.manifest.entries()[shard].cut &&
                                   place + j == first_index_[shard + 1] - first_index_[shard]};
    if (verify_) fetched.checksums = std::span(checksums).subspan(first, records);
    AddFetched(fetched, wanted_, builder);
    i = j;
  }
}

template <class Piece>
void TarSource::ForEachShard(SampleIndex first, int count, const Piece& piece) const {
  if (ToInt(first) < 0 || count < 0 || ToInt(first) > size() - count) {
    throw std::out_of_range(fmt::format("records [{}, +{}) of {}", ToInt(first), count, size()));
  }
  const std::int64_t end = ToInt(first) + count;
  for (std::int64_t index = ToInt(first); index < end;) {
    const std::size_t shard = ShardOf(index);
    const std::int64_t here = std::min(end, first_index_[shard + 1]) - index;
    piece(shard, index - first_index_[shard], here);
    index += here;
  }
}

void TarSource::ReadAhead(SampleIndex first, int count) const {
  ForEachShard(first, count, [&](std::size_t shard, std::int64_t place, std::int64_t here) {
    const auto [file, sidecar] = OpenShard(shard);
    if (file == nullptr) return;
    const std::vector<std::uint32_t> starts = StartsOf(*sidecar, place, here);
    const std::int64_t begin = starts.front() * kTarBlock;
    AdviseToRead(file->get(), begin, std::min(starts.back() * kTarBlock, begin + kMostAhead));
  });
}

RecordBlock TarSource::Read(SampleIndex first, int count, std::stop_token stop) const {
  BlockBuilder builder;
  ForEachShard(first, count, [&](std::size_t shard, std::int64_t place, std::int64_t here) {
    AddFromShard(shard, place, here, stop, builder);
  });
  return builder.Finish();
}

}  // namespace fastclip

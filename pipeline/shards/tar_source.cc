#include "pipeline/shards/tar_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <span>
#include <stdexcept>
#include <utility>

#include "pipeline/base/printable.h"
#include "pipeline/files/stream_hash.h"
#include "pipeline/records/block_builder.h"
#include "pipeline/shards/tar_scan.h"

namespace fastclip {
namespace {

/// Files kept open: shards that a rank's lanes are in at one time.
constexpr std::size_t kOpenShards = 256;
/// Records are fetched together up to this size.
constexpr std::int64_t kMaxFetch = std::int64_t{8} << 20;
/// Of a chunk that is larger only the beginning is read ahead.
constexpr std::int64_t kMostAhead = std::int64_t{64} << 20;

/// Where `count` records of a shard begin, in blocks, and where the last one ends.
std::vector<std::uint32_t> StartsOf(const Sidecar& sidecar, std::int64_t place,
                                    std::int64_t count) {
  std::vector<std::uint32_t> starts(static_cast<std::size_t>(count) + 1);
  sidecar.ReadPlaces(place * static_cast<std::int64_t>(sizeof(std::uint32_t)),
                     std::as_writable_bytes(std::span(starts)));
  return starts;
}

std::optional<LabelKey> LabelsOf(const SourceOptions& options) {
  if (!options.labels) return std::nullopt;
  LabelKey key = ParseLabelKey(*options.labels);
  if (!key.column.empty()) {
    throw std::runtime_error(
        fmt::format("label key '{0}': tar shards have no columns; use json.{0} for a field of "
                    "their .json members, or leave it out to read .cls members",
                    key.column));
  }
  return key;
}

/// The checksums of the records that begin at `starts`.
std::vector<std::uint32_t> ChecksumsOf(const RandomAccessFile& file,
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
      const std::size_t got = file.Read(at, part);
      hash.Add(part.first(got));
      if (got < part.size()) break;
      at += kMaxFetch;
    }
    checksums.push_back(RecordChecksum(hash.Digest()));
  }
  return checksums;
}

}  // namespace

WalkedFile TarSource::Walk(const RandomAccessFile& file, bool checksums) {
  const TarScan scan = ScanTar(file);
  WalkedFile walked;
  walked.facts.count = scan.records();
  walked.facts.incomplete = scan.incomplete;
  walked.facts.damaged = scan.damaged;
  walked.facts.first_damage = scan.first_damage;
  walked.facts.cut = scan.cut;
  walked.facts.content_hash = scan.keys_hash;
  const auto places = std::as_bytes(std::span(scan.starts));
  walked.places.assign(places.begin(), places.end());
  if (checksums) {
    walked.checksums = ChecksumsOf(file, scan.starts);
    SealChecksums(walked);
  }
  return walked;
}

TarSource::TarSource(IndexedFiles files, const SourceOptions& options)
    : files_(std::move(files)),
      max_record_bytes_(options.max_record_bytes),
      wanted_{options.formats,       LabelsOf(options),        options.captions,
              options.caption_lines, options.max_record_bytes, options.class_names},
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
    const FileStamp stamp = opened.file->Stamp();
    opened.places = places_.Open(shard, stamp);
    if (opened.places == nullptr) return {};
    if (opened.places->facts().stamp == stamp) return opened;
    shards_.Forget(path);  // another file has its name by now
  }
  throw std::runtime_error(
      path + ": replaced while it was being read; restart when the new file is complete");
}

void TarSource::AddFromShard(std::size_t shard, std::int64_t place, std::int64_t count,
                             const std::stop_token& stop, BlockBuilder& builder,
                             StoredRecord* stored) const {
  const std::int64_t index = first_index_[shard] + place;
  const auto [file, sidecar] = OpenShard(shard);
  if (file == nullptr) {
    for (std::int64_t i = 0; i < count; ++i)
      builder.Add(SampleIndex{index + i}).skip = Skip::kMissing;
    return;
  }
  const std::vector<std::uint32_t> starts = StartsOf(*sidecar, place, count);
  std::vector<std::uint32_t> checksums(verify_ ? static_cast<std::size_t>(count) : 0);
  if (verify_) sidecar->ReadChecksums(place, checksums);
  const auto at = [&](std::int64_t i) { return starts[static_cast<std::size_t>(i)] * kTarBlock; };
  for (std::int64_t i = 0; i < count;) {
    if (at(i + 1) - at(i) > max_record_bytes_) {
      builder.Add(SampleIndex{index + i}).skip = Skip::kTooLarge;
      ++i;
      continue;
    }
    std::int64_t j = i + 1;
    while (j < count && at(j + 1) - at(i) <= std::min(kMaxFetch, max_record_bytes_)) ++j;
    const auto memory =
        builder.Allocate(static_cast<std::size_t>(std::max<std::int64_t>(at(j) - at(i), 0)));
    const std::size_t got = file->Read(at(i), memory, stop);
    const auto first = static_cast<std::size_t>(i), records = static_cast<std::size_t>(j - i);
    FetchedRecords fetched{
        .bytes = memory.first(got),
        .starts = std::span(starts).subspan(first, records + 1),
        .checksums = {},
        .first = SampleIndex{index + i},
        .last_at_cut =
            sidecar->facts().cut && place + j == first_index_[shard + 1] - first_index_[shard],
        .shortened =
            at(i) + static_cast<std::int64_t>(got) < std::min(at(j), sidecar->facts().stamp.size)};
    if (verify_) fetched.checksums = std::span(checksums).subspan(first, records);
    if (const std::int64_t found = AddRecords(fetched, wanted_, builder, stored); found > 0) {
      several_lines_.fetch_add(found, std::memory_order_relaxed);
    }
    i = j;
  }
}

template <class Piece>
void TarSource::ForEachShard(SampleIndex first, int count, const Piece& piece) const {
  if (ToInt(first) < 0 || count < 0 || ToInt(first) > size() - count) {
    throw std::out_of_range(
        fmt::format("{1} records from {0}: only {2} exist", ToInt(first), count, size()));
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
    file->Advise(begin, std::min(starts.back() * kTarBlock, begin + kMostAhead));
  });
}

std::vector<std::string> TarSource::FieldsOf(SampleIndex index) const {
  const std::size_t shard = ShardOf(ToInt(index));
  const auto [file, sidecar] = OpenShard(shard);
  if (file == nullptr) return {};
  const auto starts = StartsOf(*sidecar, ToInt(index) - first_index_[shard], 1);
  const std::int64_t begin = starts.front() * kTarBlock;
  const std::int64_t size = starts.back() * kTarBlock - begin;
  if (size < 0 || size > max_record_bytes_) return {};
  std::vector<std::byte> bytes(static_cast<std::size_t>(size));
  bytes.resize(file->Read(begin, bytes));
  return FieldNames(bytes);
}

std::vector<std::string> TarSource::Findings() const {
  std::int64_t lacking = 0;
  std::vector<std::string> names;
  for (const ManifestEntry& entry : files_.manifest.entries()) {
    lacking += entry.incomplete;
    if (entry.incomplete > 0) names.push_back(entry.name);
  }
  if (lacking == 0) return {};
  const std::string in = names.size() == 1
                             ? names.front()
                             : fmt::format("{} and {} more", names.front(), names.size() - 1);
  const std::string count = Counted(lacking, "record");
  bool images = false, partners = false;
  constexpr std::int64_t kLooked = 8;
  for (std::int64_t i = 0; lacking == size() && i < kLooked; ++i) {
    for (const std::string& field : FieldsOf(SampleIndex{i * (size() - 1) / (kLooked - 1)})) {
      images |= FormatOfExtension(field).has_value();
      partners |= field == "txt" || field == "cls" || field.starts_with("json");
    }
  }
  if (images && partners) {
    return {fmt::format(
        "none of {} has both an image and a caption or label (in {}); the members of a record must "
        "be adjacent in the tar and have the same name up to the first dot",
        count, in)};
  }
  const char* const verb = lacking == 1 ? "has" : "have";
  if (images) return {fmt::format("{} {} no caption and no label (in {})", count, verb, in)};
  if (partners) return {fmt::format("{} {} no image (in {})", count, verb, in)};
  return {fmt::format("{} {} an image, or a caption or label (in {})", count,
                      lacking == 1 ? "lacks" : "lack", in)};
}

RecordBlock TarSource::Read(SampleIndex first, int count, std::stop_token stop) const {
  BlockBuilder builder;
  ForEachShard(first, count, [&](std::size_t shard, std::int64_t place, std::int64_t here) {
    AddFromShard(shard, place, here, stop, builder);
  });
  return builder.Finish();
}

StoredRecord TarSource::ReadStored(SampleIndex index, std::stop_token stop) const {
  StoredRecord stored;
  BlockBuilder builder;
  ForEachShard(index, 1, [&](std::size_t shard, std::int64_t place, std::int64_t here) {
    AddFromShard(shard, place, here, stop, builder, &stored);
  });
  stored.block = builder.Finish();
  return stored;
}

}  // namespace fastclip

#include "pipeline/sources/table_source.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <filesystem>
#include <span>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "pipeline/base/counter_random.h"
#include "pipeline/base/printable.h"
#include "pipeline/files/file_system.h"
#include "pipeline/files/stream_hash.h"
#include "pipeline/records/block_builder.h"
#include "pipeline/records/image_file.h"

namespace fastclip {
namespace {

namespace fs = std::filesystem;

/// A longer path names no file; of it this much is kept as the record's key.
constexpr std::size_t kLongestKey = 4096;

TableWants WantsOf(const SourceOptions& options) { return {options.table, options.labels}; }

bool IsBlank(const std::string& text) { return text.find_first_not_of(" \t\r\n\v\f") == text.npos; }

bool LacksPartner(const TableRow& row, bool labelled) {
  // Without a field for captions it is the label that counts.
  return labelled || row.captions.empty() ? row.label.skip == Skip::kNoLabel
                                          : std::ranges::all_of(row.captions, IsBlank);
}

std::uint64_t HashOf(std::string_view text) { return XXH3_64bits(text.data(), text.size()); }

/// All facts of a table but its stamp, and its places.
WalkedFile Walk(const RandomAccessFile& file, const TableWants& wants) {
  WalkedFile walked;
  FileFacts& facts = walked.facts;
  StreamHash hash;
  TableReader reader(file, TableFormatOf(file.name()).value(), wants,
                     [&](std::span<const std::byte> bytes) { hash.Add(bytes); });
  std::vector<std::int64_t> places;
  for (;;) {
    const std::int64_t at = reader.offset();
    const std::optional<TableRow> row = reader.Next();
    if (!row) break;
    if (facts.count++ % kRowsApart == 0) places.push_back(at);
    facts.cut |= row->open_quote;
    if (row->skip == Skip::kBadRow) {
      ++facts.damaged;
    } else if (row->skip || LacksPartner(*row, reader.layout().labelled)) {
      ++facts.incomplete;
    }
  }
  places.push_back(reader.offset());
  facts.content_hash = hash.Digest();
  // The same bytes, cut into other rows and fields, are other data.
  if (reader.layout().overridden)
    facts.content_hash ^= HashOf(fmt::format("separator {}", reader.layout().separator));
  const auto bytes = std::as_bytes(std::span(places));
  walked.places.assign(bytes.begin(), bytes.end());
  return walked;
}

/// False if there is surely no such file. Other failures may pass; readers retry and report them.
bool MayExist(const std::string& path) {
  std::error_code ignored;
  if (!IsUri(path)) return fs::status(path, ignored).type() != fs::file_type::not_found;
  return HasFileSystem(path) && FileSystemOf(path).Find(path).has_value();
}

}  // namespace

// Not of the labels: who asks for them may be a second reader of the same rows.
FileKind TableSource::KindOf(const TableKeys& keys) {
  if (!keys.any()) return FileKind::kTable;
  const std::uint64_t hash = HashOf(keys.image + '\0' + keys.caption + '\0' + keys.separator);
  // Never a kind that has a name.
  return static_cast<FileKind>(std::uint32_t{1} << 31 | static_cast<std::uint32_t>(hash));
}

std::unique_ptr<TableSource> TableSource::Open(const std::string& part, const std::string& path,
                                               const SourceOptions& options) {
  const auto inflated = std::make_shared<GzipCopy>(
      std::vector{fs::path(path).parent_path().string(), options.manifest_fallback_dir});
  const TableWants wants = WantsOf(options);
  const WalkFile walk = [inflated, wants](const RandomAccessFile& file, bool /*checksums*/) {
    const auto copy = IsGzipName(file.name()) ? inflated->Of(file) : nullptr;
    return Walk(copy ? *copy : file, wants);
  };
  IndexedFiles files = IndexFiles(part, {path}, KindOf(options.table), options, walk);
  const auto file = OpenFile(path);
  if (file == nullptr) throw std::runtime_error(path + ": removed while it was being opened");
  Text text{.file = file, .copied = {}};
  if (IsGzipName(path)) text = {.file = inflated->Of(*file), .copied = file->Stamp()};
  TableLayout layout = TableReader(*text.file, TableFormatOf(path).value(), wants).layout();
  layout.class_names = options.class_names;
  return std::unique_ptr<TableSource>(
      new TableSource(std::move(files), text, std::move(layout), options));
}

TableSource::TableSource(IndexedFiles files, Text text, TableLayout layout,
                         const SourceOptions& options)
    : files_(std::move(files)),
      max_record_bytes_(options.max_record_bytes),
      text_(std::move(text)),
      layout_(std::move(layout)),
      places_(files_, /*checksums=*/false) {}

TableReader TableSource::ReaderAt(std::int64_t row, std::stop_token stop) const {
  const FileStamp stamp = text_.copied ? *text_.copied : text_.file->Stamp();
  const std::shared_ptr<const Sidecar> sidecar = places_.Open(0, stamp);
  if (sidecar == nullptr) throw std::runtime_error(path() + ": removed since it was opened");
  if (sidecar->facts().stamp != stamp) {
    throw std::runtime_error(
        path() + ": replaced while it was being read; restart when the new file is complete");
  }
  const auto place = [&](std::int64_t number) {
    std::int64_t at = 0;
    sidecar->ReadPlaces(number * static_cast<std::int64_t>(sizeof(at)),
                        std::as_writable_bytes(std::span(&at, 1)));
    return at;
  };
  const ByteRange rows{place(row / kRowsApart), place((size() + kRowsApart - 1) / kRowsApart)};
  TableReader reader(*text_.file, layout_, rows, std::move(stop));
  for (std::int64_t i = 0; i < row % kRowsApart; ++i) reader.Skip();
  return reader;
}

RecordBlock TableSource::Read(SampleIndex first, int count, std::stop_token stop) const {
  if (ToInt(first) < 0 || count < 0 || ToInt(first) > size() - count) {
    throw std::out_of_range(
        fmt::format("{1} records from {0}: only {2} exist", ToInt(first), count, size()));
  }
  BlockBuilder builder;
  if (count == 0) return builder.Finish();
  TableReader reader = ReaderAt(ToInt(first), stop);
  for (std::int64_t i = 0; i < count; ++i) {
    AddRecord(SampleIndex{ToInt(first) + i}, NextOf(reader), stop, builder);
  }
  return builder.Finish();
}

StoredRecord TableSource::ReadStored(SampleIndex index, std::stop_token stop) const {
  StoredRecord stored;
  TableReader reader = ReaderAt(ToInt(index), stop);
  const TableRow row = NextOf(reader);
  if (!row.skip) {
    stored.fields = FieldsBeside(reader.line(), layout_);
    stored.bad_label = row.label.skip == Skip::kBadLabel;
  }
  BlockBuilder builder;
  AddRecord(index, row, stop, builder);
  stored.block = builder.Finish();
  return stored;
}

TableRow TableSource::NextOf(TableReader& reader) const {
  std::optional<TableRow> row = reader.Next();
  if (!row) throw std::runtime_error(path() + ": truncated since it was opened; restore the file");
  return std::move(*row);
}

std::vector<std::string> TableSource::FieldsOf(SampleIndex index) const {
  const std::optional<TableRow> row = ReaderAt(ToInt(index), {}).Next();
  if (!row || row->label.skip == Skip::kNoLabel) return {};
  return {"label"};
}

std::string TableSource::PathOf(const TableRow& row) const {
  return (fs::path(path()).parent_path() / row.image).string();
}

void TableSource::AddRecord(SampleIndex index, const TableRow& row, const std::stop_token& stop,
                            BlockBuilder& builder) const {
  const std::string_view key =
      builder.Keep(std::string_view(row.image).substr(0, std::min(row.image.size(), kLongestKey)));
  const ImageFile image = row.skip ? ImageFile{.bytes = {}, .skip = row.skip}
                                   : ReadImageFile(PathOf(row), max_record_bytes_, stop, builder);
  Record& record = builder.Add(index);
  record.key = key;
  record.image = image.bytes;
  record.label = row.label.value;
  record.skip = image.skip;
  if (layout_.labelled) {
    if (!record.skip) record.skip = row.label.skip;
    return;
  }
  if (row.skip == Skip::kBadRow) return;
  for (const std::string& caption : row.captions) builder.AddTrimmedCaption(builder.Keep(caption));
  if (record.skip) return;
  record.skip = builder.FaultOfCaptions();
  if (!record.skip && builder.CaptionsOfLast() == 0) record.skip = Skip::kNoCaption;
}

std::optional<std::string> TableSource::FindMissingImages() const {
  constexpr std::int64_t kLooked = 512;
  const std::int64_t looked = std::min(size(), kLooked);
  // Random rows of a long table, since it may be regular: every fifth image missing.
  const auto row_at = [&](std::int64_t i) {
    if (size() <= kLooked) return i;
    return static_cast<std::int64_t>(MixBits(static_cast<std::uint64_t>(i)) %
                                     static_cast<std::uint64_t>(size()));
  };
  std::int64_t missing = 0, from_here = 0;
  std::string first;
  for (std::int64_t i = 0; i < looked; ++i) {
    const std::optional<TableRow> row = ReaderAt(row_at(i), {}).Next();
    if (!row || row->skip) continue;
    if (MayExist(PathOf(*row))) return std::nullopt;
    if (missing++ == 0) first = row->image;
    from_here += MayExist(row->image) ? 1 : 0;
  }
  if (missing == 0) return std::nullopt;
  if (first.starts_with("http://") || first.starts_with("https://")) {
    return fmt::format(
        "the images are URLs ('{}'); download them first, for example with img2dataset", first);
  }
  const std::string folder = fs::path(path()).parent_path().string();
  std::string text = fmt::format(
      "none of the images exists ({} checked; the first is '{}'); paths are relative to the "
      "table's folder, '{}'",
      missing, first, folder.empty() ? "." : folder);
  if (from_here > 0 && !folder.empty()) {
    text +=
        "; they exist relative to the working folder: move the table there, or use absolute paths";
  }
  return text;
}

std::vector<std::string> TableSource::Findings() const {
  std::vector<std::string> findings;
  if (entry().cut) {
    TableReader reader = ReaderAt(size() - 1, {});
    const std::int64_t from = reader.offset();
    reader.Skip();
    findings.push_back(fmt::format(
        "unclosed quote in the row at byte {}: the rest of the file ({}) is one bad row", from,
        Counted(reader.offset() - from, "byte")));
  }
  if (auto missing = FindMissingImages()) findings.push_back(std::move(*missing));
  return findings;
}

}  // namespace fastclip

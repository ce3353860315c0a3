#include "pipeline/table_source.h"

#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include "pipeline/block_builder.h"
#include "pipeline/stream_hash.h"

namespace fastclip {
namespace {

UniqueFd OpenTable(const std::string& path) {
  UniqueFd fd = OpenToRead(path);
  if (!fd) throw std::runtime_error(path + ": gone while it was being opened");
  return fd;
}

}  // namespace

WalkedFile TableSource::Walk(int fd, const std::string& path,
                             const std::optional<std::string>& labels) {
  WalkedFile walked;
  FileFacts& facts = walked.facts;
  StreamHash hash;
  TableReader reader(fd, path, TableFormatOf(path).value(), labels,
                     [&](std::span<const std::byte> bytes) { hash.Add(bytes); });
  std::vector<std::int64_t> places;
  for (;;) {
    const std::int64_t at = reader.offset();
    const std::optional<TableRow> row = reader.Next();
    if (!row) break;
    if (facts.count++ % kRowsApart == 0) places.push_back(at);
    if (!row->readable()) ++facts.incomplete;
  }
  places.push_back(reader.offset());
  facts.content_hash = hash.Digest();
  const auto bytes = std::as_bytes(std::span(places));
  walked.places.assign(bytes.begin(), bytes.end());
  return walked;
}

TableSource::TableSource(IndexedFiles files, const SourceOptions& options)
    : files_(std::move(files)),
      max_record_bytes_(options.max_record_bytes),
      labelled_(options.labels.has_value()),
      fd_(OpenTable(files_.paths.front())),
      layout_(TableReader(fd_.get(), files_.paths.front(),
                          TableFormatOf(files_.paths.front()).value(), options.labels)
                  .layout()),
      places_(files_, /*checksums=*/false) {}

RecordBlock TableSource::Read(SampleIndex first, int count, std::stop_token stop) const {
  if (ToInt(first) < 0 || count < 0 || ToInt(first) > size() - count) {
    throw std::out_of_range(fmt::format("records [{}, +{}) of {}", ToInt(first), count, size()));
  }
  BlockBuilder builder;
  if (count == 0) return builder.Finish();
  const std::string& path = files_.paths.front();
  const std::shared_ptr<const Sidecar> sidecar = places_.Open(0);
  if (sidecar == nullptr) throw std::runtime_error(path + ": gone since it was opened");
  std::int64_t place = 0;
  sidecar->ReadPlaces(ToInt(first) / kRowsApart * static_cast<std::int64_t>(sizeof(place)),
                      std::as_writable_bytes(std::span(&place, 1)));
  TableReader reader(fd_.get(), path, layout_, place, stop);
  for (std::int64_t i = 0; i < ToInt(first) % kRowsApart; ++i) reader.Skip();
  for (std::int64_t i = 0; i < count; ++i) {
    const std::optional<TableRow> row = reader.Next();
    if (!row)
      throw std::runtime_error(path + ": has become shorter since it was opened; start again");
    AddRecord(SampleIndex{ToInt(first) + i}, *row, stop, builder);
  }
  return builder.Finish();
}

void TableSource::AddRecord(SampleIndex index, const TableRow& row, const std::stop_token& stop,
                            BlockBuilder& builder) const {
  const std::string_view key = builder.Keep(row.image);
  const std::string path =
      (std::filesystem::path(files_.paths.front()).parent_path() / row.image).string();
  std::span<std::byte> image;
  std::optional<Skip> skip;
  if (!row.readable()) {
    skip = Skip::kNoImage;
  } else if (const UniqueFd fd = OpenToRead(path); !fd) {
    skip = Skip::kMissing;
  } else if (const std::int64_t bytes = StampOf(fd.get(), path).size; bytes > max_record_bytes_) {
    skip = Skip::kTooLarge;
  } else {
    image = builder.Allocate(static_cast<std::size_t>(bytes));
    image = image.first(ReadAt(fd.get(), 0, image, path, stop));
  }
  Record& record = builder.Add(index);
  record.key = key;
  record.image = image;
  record.label = row.label.value;
  record.skip = skip;
  if (labelled_) {
    if (!record.skip) record.skip = row.label.skip;
    return;
  }
  for (const std::string& caption : row.captions) builder.AddTrimmedCaption(builder.Keep(caption));
  if (!record.skip && builder.CaptionsOfLast() == 0) record.skip = Skip::kNoCaption;
}

}  // namespace fastclip

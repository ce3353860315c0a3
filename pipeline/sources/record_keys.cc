#include "pipeline/sources/record_keys.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "pipeline/base/in_order.h"
#include "pipeline/base/json_path.h"
#include "pipeline/base/suggested_command.h"
#include "pipeline/files/atomic_file.h"
#include "pipeline/files/file_system.h"
#include "pipeline/files/local_file.h"
#include "pipeline/files/stream_hash.h"
#include "pipeline/shards/shard_list.h"
#include "pipeline/shards/sidecar_store.h"
#include "pipeline/sources/open_source.h"
#include "pipeline/sources/table_reader.h"

namespace fastclip {
namespace {

// "FCLIPKY2"; in a file of the format before, keys are lacking that beside a NaN were not read.
constexpr std::uint64_t kMagic = 0x3259'4B50'494C'4346;
constexpr std::int64_t kKeyBytes = sizeof(std::int64_t);
constexpr int kReaders = 8;
constexpr int kRecordsARead = 16;         // whole ones, pictures too
constexpr std::int64_t kBlock = 1 << 16;  // keys

/// The end of a file of keys.
struct Footer {
  std::uint64_t magic = kMagic;
  std::uint64_t made_of = 0;
  std::uint64_t keys = 0;
  std::uint64_t own = 0;

  std::uint64_t Hash() const { return XXH3_64bits(this, offsetof(Footer, own)); }
};
static_assert(sizeof(Footer) == 32);

std::uint64_t HashOf(const std::string& text) { return XXH3_64bits(text.data(), text.size()); }

/// What stands for the key of a record that has none: -1, or a smaller number for another reason
/// than that there is no such field.
std::int64_t NoKey(std::optional<Skip> why) {
  if (why != Skip::kBadLabel && why != Skip::kBadJson && why != Skip::kTooLarge) return -1;
  return -2 - static_cast<std::int64_t>(*why);
}
Skip CauseOf(std::int64_t no_key) {
  return no_key < -1 && no_key > -2 - kSkipCauses ? static_cast<Skip>(-2 - no_key) : Skip::kNoLabel;
}

/// The file at `path` where it holds what is looked for, whole; else none.
std::shared_ptr<const RandomAccessFile> OpenKeys(const std::string& path, std::int64_t count,
                                                 std::uint64_t made_of) {
  std::shared_ptr<const RandomAccessFile> file;
  try {
    file = OpenFile(path);
  } catch (const std::system_error&) {  // not ours to read: as if it were not there
  }
  if (file == nullptr) return nullptr;
  const std::int64_t bytes = count * kKeyBytes;
  Footer footer;
  if (file->Stamp().size != bytes + static_cast<std::int64_t>(sizeof(footer)) ||
      file->Read(bytes, std::as_writable_bytes(std::span(&footer, 1))) != sizeof(footer) ||
      footer.magic != kMagic || footer.own != footer.Hash() || footer.made_of != made_of) {
    return nullptr;
  }
  StreamHash hash;
  std::vector<std::byte> block(static_cast<std::size_t>(kBlock * kKeyBytes));
  for (std::int64_t at = 0; at < bytes; at += kBlock * kKeyBytes) {
    const auto part =
        std::span(block).first(static_cast<std::size_t>(std::min(bytes - at, kBlock * kKeyBytes)));
    if (file->Read(at, part) != part.size()) return nullptr;
    hash.Add(part);
  }
  return hash.Digest() == footer.keys ? std::move(file) : nullptr;
}

std::string Named(const RecordOrigin& origin) {
  return fmt::format("{} at {}", origin.file, origin.offset);
}

void RequireMetadata(const std::string& part, const std::string& field) {
  const auto table = TableFormatOf(part);
  const bool has_none =
      part.starts_with("synthetic:") || table == TableFormat::kTsv || table == TableFormat::kCsv;
  if (!has_none) return;
  throw std::runtime_error(
      fmt::format("'{}': {} needs .json members of tar shards or rows of a .jsonl; pack the pairs "
                  "with {}, or use the index of each record instead",
                  part, field, SuggestedCommand("shards convert")));
}

}  // namespace

void CheckKeyField(const std::string& field) {
  if (ParseJsonPath(field, "index_by")) return;
  throw std::invalid_argument(
      fmt::format("'{}' is not of the form json.NAME, a field of the records' metadata; use for "
                  "example json.key",
                  field));
}

/// Opens or makes the column of each part.
class RecordKeys::Maker {
 public:
  Maker(const RecordSource& source, const std::string& field, const SourceOptions& options,
        const std::function<void(std::int64_t, std::int64_t)>& progress)
      : source_(source), field_(field), options_(options), progress_(progress) {}

  Part Open(const PartInfo& info, std::int64_t first) const {
    Part part;
    part.first = first;
    part.count = info.records;
    const std::uint64_t made_of = HashOf(fmt::format("{} {:x} {:x} {}", field_, info.hash,
                                                     info.stamps_hash, options_.max_record_bytes));
    const std::vector<std::string> places = Places(info);
    for (const std::string& place : places) {
      part.path = place;
      part.file = OpenKeys(place, part.count, made_of);
      if (part.file) return part;
    }
    for (const std::string& place : places) {
      try {
        part.path = place;
        part.file = Write(part, made_of);
        return part;
      } catch (const std::system_error& error) {
        if (!IsNoPlaceToWrite(error)) throw;
      }
    }
    Read(part, [&](const std::vector<std::int64_t>& keys) {
      part.kept.insert(part.kept.end(), keys.begin(), keys.end());
    });
    return part;
  }

 private:
  /// Where the file may lie, the best first.
  std::vector<std::string> Places(const PartInfo& info) const {
    std::vector<std::string> places;
    if (!info.manifest.empty()) places.push_back(info.manifest + ".keys");
    if (const std::string& folder = options_.manifest_fallback_dir; !folder.empty()) {
      const std::string of = info.manifest.empty() ? info.part : info.manifest;
      places.push_back(fmt::format("{}/fastclip-{:016x}.manifest.keys", folder, HashOf(of)));
    }
    return places;
  }

  std::shared_ptr<const RandomAccessFile> Write(const Part& part, std::uint64_t made_of) const {
    AtomicFile file(part.path);
    StreamHash hash;
    Read(part, [&](const std::vector<std::int64_t>& keys) {
      file.Append(std::as_bytes(std::span(keys)));
      hash.Add(std::as_bytes(std::span(keys)));
    });
    Footer footer{.made_of = made_of, .keys = hash.Digest()};
    footer.own = footer.Hash();
    file.Append(std::as_bytes(std::span(&footer, 1)));
    return std::make_shared<const LocalFile>(file.Commit(), part.path);
  }

  /// take(keys) of all records of a part, some at a time, in order.
  template <class Take>
  void Read(const Part& part, const Take& take) const {
    std::int64_t done = part.first;
    ForEachInOrder((part.count + kRecordsARead - 1) / kRecordsARead, kReaders,
                   [&](std::int64_t read) {
                     const std::int64_t first = read * kRecordsARead;
                     const auto count = static_cast<int>(
                         std::min<std::int64_t>(kRecordsARead, part.count - first));
                     std::vector<std::int64_t> keys;
                     for (const Record& record :
                          source_.Read(SampleIndex{part.first + first}, count, {}).records) {
                       if (record.skip == Skip::kMissing) {
                         throw std::runtime_error(fmt::format(
                             "{}: missing, and {} of its records has not been read yet; restore it",
                             source_.OriginOf(record.index).file, field_));
                       }
                       keys.push_back(record.label >= 0 ? record.label : NoKey(record.skip));
                     }
                     return keys;
                   },
                   [&](const std::vector<std::int64_t>& keys) {
                     take(keys);
                     done += std::ssize(keys);
                     if (progress_) progress_(done, source_.size());
                   });
  }

  const RecordSource& source_;
  const std::string& field_;
  const SourceOptions& options_;
  const std::function<void(std::int64_t, std::int64_t)>& progress_;
};

RecordKeys::RecordKeys(const std::string& list, const std::string& field,
                       const SourceOptions& options,
                       const std::function<void(std::int64_t, std::int64_t)>& progress) {
  CheckKeyField(field);
  for (const std::string& part : SplitList(list)) RequireMetadata(part, field);
  SourceOptions labelled = options;
  labelled.captions.clear();
  labelled.verify_checksums = false;
  labelled.labels = field;
  const OpenedSource opened = OpenSourceWithInfo(list, labelled);
  data_hash_ = opened.source->hash();
  const Maker maker(*opened.source, field, options, progress);
  for (const PartInfo& info : opened.parts) {
    parts_.push_back(maker.Open(info, size_));
    size_ += info.records;
  }
  LookThrough(list, field, *opened.source);
}

bool RecordKeys::is_kept() const {
  return std::ranges::all_of(parts_, [](const Part& part) { return bool{part.file}; });
}

/// Finds the largest key and refuses what cannot be an index: one bit a key, two passes.
void RecordKeys::LookThrough(const std::string& list, const std::string& field,
                             const RecordSource& source) {
  const auto named = [&](std::int64_t index) { return Named(source.OriginOf(SampleIndex{index})); };
  ForEach([&](std::int64_t index, std::int64_t key) {
    if (key < 0) {
      ++without_key_;
      ++without_[CauseOf(key)];
    }
    largest_ = std::max(largest_, key);
    if (key > kMostKey) {
      throw std::runtime_error(
          fmt::format("{}: {} is {}, but an index is at most {}; check that the field is an index",
                      named(index), field, key, kMostKey));
    }
  });
  if (largest_ < 0) {
    throw std::runtime_error(fmt::format(
        "'{}': no record has an integer >= 0 at {}; use the field that numbers them", list, field));
  }
  std::vector<bool> seen(static_cast<std::size_t>(largest_) + 1);
  std::int64_t again = 0, shared = -1, second = -1;
  ForEach([&](std::int64_t index, std::int64_t key) {
    if (key < 0) return;
    std::vector<bool>::reference bit = seen[static_cast<std::size_t>(key)];
    if (bit && again++ == 0) {
      shared = key;
      second = index;
    }
    bit = true;
  });
  if (again == 0) return;
  std::int64_t first = -1;
  ForEach([&](std::int64_t index, std::int64_t key) {
    if (key == shared && first < 0) first = index;
  });
  throw std::runtime_error(
      fmt::format("{} is {} in two records, {} and {}{}: they would share an estimator; leave one "
                  "out, or use a field that differs",
                  field, shared, named(first), named(second),
                  again > 1 ? fmt::format(", and {} more with a repeated key", again - 1) : ""));
}

template <class Visit>
void RecordKeys::ForEach(const Visit& visit) const {
  std::vector<std::int64_t> keys;
  for (std::int64_t first = 0; first < size_; first += kBlock) {
    keys.resize(static_cast<std::size_t>(std::min(kBlock, size_ - first)));
    ReadRaw(SampleIndex{first}, keys);
    for (std::size_t i = 0; i < keys.size(); ++i) {
      visit(first + static_cast<std::int64_t>(i), keys[i]);
    }
  }
}

std::map<std::int64_t, std::int64_t> RecordKeys::Find(std::span<const std::int64_t> keys) const {
  std::map<std::int64_t, std::int64_t> found;
  ForEach([&](std::int64_t index, std::int64_t key) {
    if (std::ranges::find(keys, key) != keys.end()) found[key] = index;
  });
  return found;
}

void RecordKeys::Read(SampleIndex first, std::span<std::int64_t> out) const {
  ReadRaw(first, out);
  for (std::int64_t& key : out) key = std::max<std::int64_t>(key, -1);
}

void RecordKeys::ReadRaw(SampleIndex first, std::span<std::int64_t> out) const {
  if (ToInt(first) < 0 || std::ssize(out) > size_ - ToInt(first)) {
    throw std::out_of_range(
        fmt::format("{1} keys from {0}: only {2} exist", ToInt(first), out.size(), size_));
  }
  std::int64_t at = ToInt(first);
  for (const Part& part : parts_) {
    const std::int64_t end = part.first + part.count;
    if (out.empty() || at >= end) continue;
    const auto here = out.first(static_cast<std::size_t>(std::min(end - at, std::ssize(out))));
    if (part.file) {
      if (part.file->Read((at - part.first) * kKeyBytes, std::as_writable_bytes(here)) !=
          here.size_bytes()) {
        throw std::runtime_error(part.path + ": truncated while it was being read");
      }
    } else {
      std::copy_n(part.kept.begin() + (at - part.first), here.size(), here.begin());
    }
    at += std::ssize(here);
    out = out.subspan(here.size());
  }
}

}  // namespace fastclip

#include "pipeline/record_keys.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "pipeline/in_order.h"
#include "pipeline/json_path.h"
#include "pipeline/open_source.h"
#include "pipeline/shard_list.h"
#include "pipeline/sidecar_store.h"
#include "pipeline/stream_hash.h"

namespace fastclip {
namespace {

constexpr std::uint64_t kMagic = 0x3159'4B50'494C'4346;  // "FCLIPKY1"
constexpr std::int64_t kKeyBytes = sizeof(std::int64_t);
constexpr int kReaders = 8;
constexpr int kRecordsARead = 128;
constexpr std::int64_t kBlock = 1 << 16;  // keys

/// The end of a file of keys.
struct Footer {
  std::uint64_t magic = kMagic;
  std::uint64_t source = 0;
  std::uint64_t field = 0;
  std::uint64_t keys = 0;
  std::uint64_t own = 0;

  std::uint64_t Hash() const { return XXH3_64bits(this, offsetof(Footer, own)); }
};
static_assert(sizeof(Footer) == 40);

std::uint64_t HashOf(const std::string& text) { return XXH3_64bits(text.data(), text.size()); }

/// The file at `path` where it holds what is looked for, whole; else none.
UniqueFd OpenKeys(const std::string& path, std::int64_t count, std::uint64_t source,
                  const std::string& field) {
  UniqueFd file = OpenToRead(path);
  if (!file) return UniqueFd();
  const std::int64_t bytes = count * kKeyBytes;
  Footer footer;
  if (StampOf(file.get(), path).size != bytes + static_cast<std::int64_t>(sizeof(footer)) ||
      ReadAt(file.get(), bytes, std::as_writable_bytes(std::span(&footer, 1)), path) !=
          sizeof(footer) ||
      footer.magic != kMagic || footer.own != footer.Hash() || footer.source != source ||
      footer.field != HashOf(field)) {
    return UniqueFd();
  }
  StreamHash hash;
  std::vector<std::byte> block(static_cast<std::size_t>(kBlock * kKeyBytes));
  for (std::int64_t at = 0; at < bytes; at += kBlock * kKeyBytes) {
    const auto part =
        std::span(block).first(static_cast<std::size_t>(std::min(bytes - at, kBlock * kKeyBytes)));
    if (ReadAt(file.get(), at, part, path) != part.size()) return UniqueFd();
    hash.Add(part);
  }
  return hash.Digest() == footer.keys ? std::move(file) : UniqueFd();
}

/// take(keys) of all records, some at a time, in order.
template <class Take>
void ReadKeys(const RecordSource& source, const Take& take) {
  const std::int64_t reads = (source.size() + kRecordsARead - 1) / kRecordsARead;
  ForEachInOrder(
      reads, kReaders,
      [&](std::int64_t read) {
        const std::int64_t first = read * kRecordsARead;
        const auto count =
            static_cast<int>(std::min<std::int64_t>(kRecordsARead, source.size() - first));
        std::vector<std::int64_t> keys;
        for (const Record& record : source.Read(SampleIndex{first}, count, {}).records) {
          keys.push_back(record.label);
        }
        return keys;
      },
      take);
}

std::string Named(const RecordOrigin& origin) {
  return fmt::format("{} at {}", origin.file, origin.offset);
}

}  // namespace

RecordKeys::RecordKeys(const std::string& list, const std::string& field,
                       const SourceOptions& options,
                       const std::function<void(std::int64_t, std::int64_t)>& progress) {
  if (!ParseJsonPath(field, "index_by")) {
    throw std::runtime_error(fmt::format(
        "index_by '{}': write json.NAME, a field of the records' metadata; json.key, say", field));
  }
  SourceOptions labelled = options;
  labelled.captions.clear();
  labelled.verify_checksums = false;
  labelled.labels = field;
  const std::vector<std::string> names = SplitList(list);
  std::vector<OpenedSource> opened;
  std::int64_t all = 0;
  for (std::size_t i = 0; i < names.size(); ++i) {
    SourceOptions own = labelled;
    if (!own.manifest.empty() && names.size() > 1) own.manifest += fmt::format(".{}", i);
    opened.push_back(OpenSourceWithInfo(names[i], own));
    all += opened.back().source->size();
  }
  for (const OpenedSource& part : opened) {
    const std::string& manifest = part.parts.front().manifest;
    Part& made = parts_.emplace_back(OpenPart(
        *part.source, manifest.empty() ? "" : manifest + ".keys", field, [&](std::int64_t done) {
          if (progress) progress(size_ + done, all);
        }));
    made.first = size_;
    size_ += made.count;
  }
  LookThrough(list, field, [&](SampleIndex index) {
    std::size_t part = parts_.size() - 1;
    while (ToInt(index) < parts_[part].first) --part;
    return opened[part].source->OriginOf(SampleIndex{ToInt(index) - parts_[part].first});
  });
}

RecordKeys::Part RecordKeys::OpenPart(const RecordSource& source, const std::string& path,
                                      const std::string& field,
                                      const std::function<void(std::int64_t)>& progress) {
  Part part;
  part.count = source.size();
  part.path = path;
  if (!path.empty()) {
    part.file = OpenKeys(path, part.count, source.hash(), field);
    if (part.file) return part;
  }
  std::optional<AtomicFile> file;
  try {
    if (!path.empty()) file.emplace(path);
  } catch (const std::system_error& error) {
    if (!IsNoPlaceToWrite(error)) throw;
  }
  StreamHash hash;
  std::int64_t done = 0;
  ReadKeys(source, [&](const std::vector<std::int64_t>& keys) {
    if (file) {
      file->Append(std::as_bytes(std::span(keys)));
      hash.Add(std::as_bytes(std::span(keys)));
    } else {
      part.kept.insert(part.kept.end(), keys.begin(), keys.end());
    }
    progress(done += std::ssize(keys));
  });
  if (file) {
    Footer footer{.source = source.hash(), .field = HashOf(field), .keys = hash.Digest()};
    footer.own = footer.Hash();
    file->Append(std::as_bytes(std::span(&footer, 1)));
    part.file = file->Commit();
  }
  return part;
}

/// Finds the largest key and refuses what cannot be an index: one bit a key, two passes.
void RecordKeys::LookThrough(const std::string& list, const std::string& field,
                             const std::function<RecordOrigin(SampleIndex)>& origin_of) {
  ForEach([&](std::int64_t index, std::int64_t key) {
    without_key_ += key < 0;
    largest_ = std::max(largest_, key);
    if (key > kMostKey) {
      throw std::runtime_error(
          fmt::format("{}: {} is {}, and an index is at most {}: is it a number of another kind?",
                      Named(origin_of(SampleIndex{index})), field, key, kMostKey));
    }
  });
  if (largest_ < 0) {
    throw std::runtime_error(fmt::format(
        "'{}': no record has a whole number of 0 or more at {}; name the field that counts them",
        list, field));
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
  throw std::runtime_error(fmt::format(
      "{} is {} in two records, {} and {}{}: they would share an estimator. Leave one of them out, "
      "or name a field that differs",
      field, shared, Named(origin_of(SampleIndex{first})), Named(origin_of(SampleIndex{second})),
      again > 1 ? fmt::format(", and {} more records have a key that was there", again - 1) : ""));
}

template <class Visit>
void RecordKeys::ForEach(const Visit& visit) const {
  std::vector<std::int64_t> keys;
  for (std::int64_t first = 0; first < size_; first += kBlock) {
    keys.resize(static_cast<std::size_t>(std::min(kBlock, size_ - first)));
    Read(SampleIndex{first}, keys);
    for (std::size_t i = 0; i < keys.size(); ++i) {
      visit(first + static_cast<std::int64_t>(i), keys[i]);
    }
  }
}

void RecordKeys::Read(SampleIndex first, std::span<std::int64_t> out) const {
  if (ToInt(first) < 0 || std::ssize(out) > size_ - ToInt(first)) {
    throw std::out_of_range(fmt::format("keys [{}, +{}) of {}", ToInt(first), out.size(), size_));
  }
  std::int64_t at = ToInt(first);
  for (const Part& part : parts_) {
    const std::int64_t end = part.first + part.count;
    if (out.empty() || at >= end) continue;
    const auto here = out.first(static_cast<std::size_t>(std::min(end - at, std::ssize(out))));
    if (part.file) {
      if (ReadAt(part.file.get(), (at - part.first) * kKeyBytes, std::as_writable_bytes(here),
                 part.path) != here.size_bytes()) {
        throw std::runtime_error(part.path + ": became shorter while it was read");
      }
    } else {
      std::copy_n(part.kept.begin() + (at - part.first), here.size(), here.begin());
    }
    at += std::ssize(here);
    out = out.subspan(here.size());
  }
}

}  // namespace fastclip

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <stop_token>

#include "pipeline/records/caption_key.h"
#include "pipeline/records/record_source.h"
#include "pipeline/sources/open_source.h"
#include "tests/fuzz/memory_file.h"

using namespace fastclip;

// A shard, read as a run does: found, indexed, every record with its captions and labels.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const MemoryFile file(bytes, size);
  SourceOptions captions, keys, labels;
  captions.max_record_bytes = 1 << 20;
  keys.captions = {{{}, 1}, {{"caption"}, 0.5F}, {{"a", "b"}, 0.5F}};
  labels.labels = "json.a.b";
  for (const SourceOptions& options : {captions, keys, labels}) {
    std::unique_ptr<RecordSource> source;
    try {
      source = OpenSource(file.path(), options);
    } catch (const std::runtime_error&) {
      return 0;  // no tar at all
    }
    const auto records = static_cast<int>(source->size());
    const RecordBlock block = source->Read(SampleIndex{0}, records, {});
    if (static_cast<int>(block.records.size()) != records) __builtin_trap();
    for (const Record& record : block.records) {
      if (!record.skip && record.image.size() > size) __builtin_trap();
      if (source->OriginOf(record.index).offset > static_cast<std::int64_t>(size)) __builtin_trap();
    }
  }
  return 0;
}

#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>

#include "pipeline/files/gzip_copy.h"
#include "pipeline/files/local_file.h"
#include "pipeline/sources/table_reader.h"
#include "tests/fuzz/memory_file.h"

using namespace fastclip;

namespace {

bool Same(const TableRow& a, const TableRow& b) {
  return a.image == b.image && a.captions == b.captions && a.skip == b.skip &&
         a.label.value == b.label.value && a.open_quote == b.open_quote;
}

/// Its rows, and the same rows from their places.
void ReadTwice(const RandomAccessFile& file, TableFormat format, const TableWants& wants) {
  try {
    TableReader reader(file, format, wants);
    for (;;) {
      const std::int64_t at = reader.offset();
      const auto row = reader.Next();
      if (!row) break;
      TableReader again(file, reader.layout(), {at, file.Stamp().size}, {});
      const auto same = again.Next();
      if (!same || !Same(*same, *row) || again.offset() != reader.offset()) __builtin_trap();
    }
  } catch (const std::runtime_error&) {
    // No such columns, or a row without end: an error that is told.
  }
}

}  // namespace

// A table of each format, with captions and with labels, by the usual names and by others.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const MemoryFile memory(bytes, size);
  const DescriptorFile file(memory.fd(), memory.path());
  for (const TableFormat format : {TableFormat::kTsv, TableFormat::kCsv, TableFormat::kJsonLines}) {
    for (const auto& labels : {std::optional<std::string>(), std::optional<std::string>("")}) {
      ReadTwice(file, format, {.keys = {}, .labels = labels});
      ReadTwice(file, format,
                {.keys = {.image = "a", .caption = "b", .separator = ';'}, .labels = labels});
    }
  }
  try {
    GzipCopy({}).Of(file);
  } catch (const std::runtime_error&) {
    // No gzip.
  }
  return 0;
}

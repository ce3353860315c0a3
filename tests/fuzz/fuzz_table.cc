#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>

#include "pipeline/table_reader.h"
#include "tests/fuzz/memory_file.h"

using namespace fastclip;

// A table of each format, with captions and with labels: rows, and the same rows from their places.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const MemoryFile file(bytes, size);
  for (const TableFormat format : {TableFormat::kTsv, TableFormat::kCsv, TableFormat::kJsonLines}) {
    for (const auto& labels : {std::optional<std::string>(), std::optional<std::string>("")}) {
      try {
        TableReader reader(file.fd(), file.path(), format, labels);
        for (;;) {
          const std::int64_t at = reader.offset();
          const auto row = reader.Next();
          if (!row) break;
          TableReader again(file.fd(), file.path(), reader.layout(), at, {});
          const auto same = again.Next();
          if (!same || same->image != row->image || same->captions != row->captions) {
            __builtin_trap();
          }
        }
      } catch (const std::runtime_error&) {
        // No such columns, or a row without end: an error that is told.
      }
    }
  }
  return 0;
}

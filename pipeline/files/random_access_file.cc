#include "pipeline/files/random_access_file.h"

#include <fmt/format.h>

#include <stdexcept>
#include <system_error>

#include "pipeline/base/printable.h"
#include "pipeline/files/retries.h"

namespace fastclip {

std::size_t RandomAccessFile::Read(std::int64_t offset, std::span<std::byte> out,
                                   const std::stop_token& stop) const {
  std::size_t done = 0;
  Retries retries;
  while (done < out.size()) {
    if (stop.stop_requested()) throw std::runtime_error(name_ + ": reading was stopped");
    try {
      const std::size_t got = ReadSome(offset + static_cast<std::int64_t>(done), out.subspan(done));
      if (got == 0) break;
      done += got;
    } catch (const std::system_error& error) {
      if (retries.MayTryAgain(error.code().value(), stop)) continue;
      throw std::runtime_error(fmt::format("{}: reading {} at offset {} failed: {}; check the disk",
                                           name_, Counted(std::ssize(out), "byte"), offset,
                                           error.code().message()));
    }
  }
  return done;
}

}  // namespace fastclip

#include "pipeline/files/system_memory.h"

#include <unistd.h>

#include <fstream>
#include <string>

namespace fastclip {

std::int64_t PhysicalMemory() {
  return std::int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
}

std::int64_t AvailableMemory() {
  std::ifstream file("/proc/meminfo");  // "MemAvailable:   12345 kB"
  std::string name;
  for (std::int64_t kilobytes = 0; file >> name >> kilobytes; file.ignore(1 << 10, '\n')) {
    if (name == "MemAvailable:") return kilobytes << 10;
  }
  return 0;
}

}  // namespace fastclip

#pragma once

#include <ctime>
#include <string>
#include <vector>

namespace fastclip {

/// A number of /proc/self/status in MB: "VmRSS" now, "VmHWM" at most so far.
double MemoryMb(const std::string& field);

/// CLOCK_MONOTONIC, or CLOCK_PROCESS_CPUTIME_ID over all threads.
double SecondsOf(clockid_t clock);

/// The value that a share `q` of the values lies below; 0.5 is the median. REQUIRES: not empty.
double Quantile(std::vector<double> values, double q);

}  // namespace fastclip

#pragma once

#include <ctime>
#include <string>
#include <vector>

namespace fastclip {

/// A field of /proc/self/status in MB: "VmRSS" is the current memory, "VmHWM" the peak so far.
double MemoryMb(const std::string& field);

/// Seconds of CLOCK_MONOTONIC, or of CLOCK_PROCESS_CPUTIME_ID (CPU time of all threads).
double SecondsOf(clockid_t clock);

/// The `q` quantile of the values; 0.5 is the median. REQUIRES: not empty.
double Quantile(std::vector<double> values, double q);

}  // namespace fastclip

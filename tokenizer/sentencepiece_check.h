#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>

namespace fastclip {

/// What is wrong with the bytes of a SentencePiece model, or an empty string. The library trusts
/// any model that it can parse, and Debian's 0.1.97 reads and writes out of bounds for a damaged or
/// malicious one. So this checks all protobuf fields, and every node of the normalization table (a
/// double array and the texts it points to), before the library sees them.
std::string FaultOfSentencePiece(std::string_view model);

/// Runs `work` in a child process and returns how it crashed: "crashed (signal 11, Segmentation
/// fault)", "did not finish in 20 s"; empty if `work` returned or threw. Its output is discarded.
/// The child is forked from a process that may have threads: `work` can allocate and compute, but
/// must not start a thread or wait for one. Throws std::runtime_error if no child can be started.
std::string CrashOf(const std::function<void()>& work, std::chrono::seconds limit);

}  // namespace fastclip

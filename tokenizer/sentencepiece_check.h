#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>

namespace fastclip {

/// What is wrong with the bytes of a SentencePiece model, or nothing. The library trusts a model
/// that it can parse, and Debian's 0.1.97 reads and writes anywhere where one was damaged or made
/// to: here its messages are walked field by field, and the table of its normalization (a double
/// array, and the texts that it points to) from node to node, before the library sees them.
std::string FaultOfSentencePiece(std::string_view model);

/// Runs `work` in a child process and tells how that crashed: "crashed (signal 11, Segmentation
/// fault)", "did not end in 20 s"; nothing where `work` returned or threw. What it prints goes
/// nowhere. The child is a fork of a process that may have threads by now: `work` may allocate and
/// compute, but must not wait for another thread or start one. Throws std::runtime_error where
/// there can be no child.
std::string CrashOf(const std::function<void()>& work, std::chrono::seconds limit);

}  // namespace fastclip

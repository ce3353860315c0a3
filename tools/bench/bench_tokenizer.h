#pragma once

namespace fastclip {

/// `fastclip bench tokenizer --captions FILE …`: microseconds that a caption takes.
int RunBenchTokenizer(int argc, const char* const* argv);

}  // namespace fastclip

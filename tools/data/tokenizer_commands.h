#pragma once

namespace fastclip {

/// `fastclip tokenize`: lines in, a line of ids out each.
int RunTokenize(int argc, const char* const* argv);

/// `fastclip tokenizer train`: a SentencePiece model from captions.
int RunTokenizer(int argc, const char* const* argv);

}  // namespace fastclip

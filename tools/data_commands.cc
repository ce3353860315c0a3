#include <array>

#include "tools/bench_commands.h"
#include "tools/command.h"
#include "tools/shards_commands.h"
#include "tools/tokenizer_commands.h"

namespace fastclip {
namespace {

const std::array kCommands = {
    Command{"shards", "make, index and show tar shards", RunShards},
    Command{"bench", "measure speed and memory", RunBench},
    Command{"tokenize", "lines in, a line of token ids out each", RunTokenize},
    Command{"tokenizer", "learn a SentencePiece model from captions", RunTokenizer},
};

}  // namespace

std::span<const Command> DataCommands() { return kCommands; }

}  // namespace fastclip

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/paths.h"
#include "tokenizer/sentencepiece_check.h"
#include "tokenizer/sentencepiece_tokenizer.h"
#include "tokenizer/tokenizer.h"

using namespace fastclip;

namespace {

/// A small model, learned anew: none lies in the repository.
std::string LearnSentencePiece() {
  int left = 400;
  return TrainSentencePiece({.vocab_size = 200}, [&](std::string& caption) {
    caption = "a photo of " + std::to_string(left * 7919 % 1000) + " things, n\xc3\xa4mlich " +
              std::string(1 + left % 5, static_cast<char>('a' + left % 26));
    return left-- > 0;
  });
}

std::shared_ptr<const Tokenizer> OpenModel(const TemporaryFolder& folder,
                                           const std::string& model) {
  const std::string path = folder / "small.model";
  FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr || std::fwrite(model.data(), 1, model.size(), file) != model.size()) {
    std::abort();
  }
  std::fclose(file);
  return std::make_shared<SentencePieceTokenizer>(path);
}

/// The check of models, on these bytes and on a model that has them in it somewhere.
void CheckAsModel(const std::string& model, std::string_view bytes) {
  FaultOfSentencePiece(bytes);
  if (bytes.size() < 4 || bytes.size() >= model.size()) return;
  std::uint32_t place = 0;
  std::memcpy(&place, bytes.data(), sizeof place);
  std::string changed = model;
  changed.replace(place % (model.size() - bytes.size()), bytes.size(), bytes);
  FaultOfSentencePiece(changed);
}

void Check(const Tokenizer& tokenizer, std::string_view text) {
  const std::vector<TokenId> ids = tokenizer.Encode(text);
  for (const TokenId id : ids) {
    if (id < 0 || id >= tokenizer.vocab_size()) __builtin_trap();
  }
  tokenizer.Decode(ids);
  const std::size_t some = ids.size() / 2;
  if (tokenizer.EncodePrefix(text, some) != std::vector(ids.begin(), ids.begin() + some)) {
    __builtin_trap();
  }
  std::vector<TokenId> context(16);
  const int pool = EncodeContext(tokenizer, text, context);
  if (pool < 0 || pool >= 16 || context[pool] != tokenizer.special().end) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  static const TemporaryFolder folder;
  static const auto clip = OpenTokenizer("clip");
  static const std::string model = LearnSentencePiece();
  static const auto pieces = OpenModel(folder, model);
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  Check(*clip, text);
  Check(*pieces, text);
  CheckAsModel(model, text);
  return 0;
}

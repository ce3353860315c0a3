#include "tokenizer/tokenizer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>

#include "pipeline/files/program_folder.h"
#include "tokenizer/clip_tokenizer.h"
#include "tokenizer/sentencepiece_tokenizer.h"
#include "tokenizer/tokenizer_spec.h"

namespace fastclip {

std::vector<TokenId> Tokenizer::EncodePrefix(std::string_view text, std::size_t limit) const {
  std::vector<TokenId> ids = Encode(text);
  if (ids.size() > limit) ids.resize(limit);
  return ids;
}

int EncodeContext(const Tokenizer& tokenizer, std::string_view text, std::span<TokenId> out) {
  if (out.size() < 2) throw std::invalid_argument("the context length must be at least 2");
  const SpecialTokens special = tokenizer.special();
  std::size_t first = 0;
  if (special.start >= 0) out[first++] = special.start;
  const std::vector<TokenId> ids = tokenizer.EncodePrefix(text, out.size() - first - 1);
  std::size_t at = std::copy(ids.begin(), ids.end(), out.begin() + first) - out.begin();
  out[at++] = special.end;
  std::fill(out.begin() + at, out.end(), special.pad);
  return static_cast<int>(std::find(out.begin() + first, out.end(), special.end) - out.begin());
}

std::shared_ptr<const Tokenizer> OpenTokenizer(const std::string& spec) {
  const TokenizerSpec parsed = ParseTokenizerSpec(spec);
  const std::string file = VocabularyFile(parsed);
  if (parsed.kind == "clip") return std::make_shared<ClipTokenizer>(file);
  return std::make_shared<SentencePieceTokenizer>(file);
}

std::string SharedFile(const std::string& name) {
  std::vector<std::string> folders;
  if (const char* set = std::getenv("FASTCLIP_SHARE"); set != nullptr && *set != '\0') {
    folders = {set};
  } else {
    const std::filesystem::path& binary = ProgramFolder();
    folders = {binary / "share", binary.parent_path() / "share",
               binary.parent_path() / "share" / "fastclip"};
  }
  for (const std::string& folder : folders) {
    std::error_code error;
    const std::filesystem::path file = std::filesystem::path(folder) / name;
    if (std::filesystem::is_regular_file(file, error)) return file.string();
  }
  throw std::runtime_error(
      fmt::format("{} not found in {}; run tools/setup.sh, which puts it into build/share, or set "
                  "FASTCLIP_SHARE to its folder",
                  name, fmt::join(folders, " or ")));
}

}  // namespace fastclip

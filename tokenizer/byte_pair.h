#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace fastclip {

/// Byte pair encoding over CLIP's byte alphabet. Ids: 256 bytes in CLIP's order, the same 256 at
/// the end of a word, then one symbol per merge in the file's order. Immutable and thread-safe once
/// loaded.
class BytePair {
 public:
  /// Reads a vocabulary such as bpe_simple_vocab_16e6.txt, plain or gzip: a line with "#version",
  /// then one merge of two known symbols per line. Lines after CLIP's limit of 48,894 merges are
  /// not read. Throws std::runtime_error with file and line.
  static BytePair Load(const std::string& path);

  /// Appends the ids of one non-empty word, given as bytes. O(n log n).
  void Append(std::string_view word, std::vector<TokenId>& ids) const;

  int size() const { return static_cast<int>(symbols_.size()); }
  /// The bytes of a symbol, and whether it ends a word.
  std::string_view bytes(TokenId id) const { return symbols_[id].bytes; }
  bool ends_word(TokenId id) const { return symbols_[id].ends_word; }

 private:
  struct Symbol {
    std::string bytes;
    bool ends_word;
  };
  struct WordHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view s) const { return std::hash<std::string_view>()(s); }
  };

  BytePair() = default;
  void AddWholeWords();
  void Merge(std::string_view word, std::vector<TokenId>& ids) const;
  /// The symbol that two neighbours become, or -1.
  TokenId Joined(TokenId left, TokenId right) const;

  std::vector<Symbol> symbols_;
  TokenId byte_id_[256] = {};
  std::unordered_map<std::uint64_t, TokenId> merges_;
  /// Words that are one symbol: most of a caption.
  std::unordered_map<std::string, TokenId, WordHash, std::equal_to<>> whole_words_;
};

}  // namespace fastclip

#include "tokenizer/byte_pair.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <zlib.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <queue>
#include <stdexcept>

#include "tokenizer/byte_letters.h"

namespace fastclip {
namespace {

constexpr int kMergeLimit = 49152 - 256 - 2;
// The real file has 3.2 MB.
constexpr std::size_t kFileLimit = 64u << 20;
constexpr std::string_view kWordEnd = "</w>";

std::uint64_t PairKey(TokenId left, TokenId right) {
  return static_cast<std::uint64_t>(left) << 32 | static_cast<std::uint32_t>(right);
}

[[noreturn]] void Fail(const std::string& path, const std::string& what) {
  throw std::runtime_error(
      fmt::format("{}: {}; use CLIP's bpe_simple_vocab_16e6.txt, plain or gzip", path, what));
}

struct GzClose {
  void operator()(gzFile_s* file) const { gzclose(file); }
};

// zlib's gzopen reads plain files as they are.
std::string ReadPlainOrGzip(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode))
    Fail(path, "not a regular file");
  errno = 0;
  const std::unique_ptr<gzFile_s, GzClose> file(gzopen(path.c_str(), "rb"));
  if (!file) Fail(path, fmt::format("cannot be opened ({})", std::strerror(errno)));
  std::string text;
  char block[1 << 16];
  int got = 0;
  while ((got = gzread(file.get(), block, sizeof block)) > 0) {
    text.append(block, got);
    if (text.size() > kFileLimit) Fail(path, "larger than 64 MiB");
  }
  int error = Z_OK;
  const char* reason = gzerror(file.get(), &error);
  if (got < 0 || error != Z_OK) {
    Fail(path, fmt::format("cannot be read to the end ({})",
                           error == Z_ERRNO ? std::strerror(errno) : reason));
  }
  return text;
}

}  // namespace

BytePair BytePair::Load(const std::string& path) {
  const std::string text = ReadPlainOrGzip(path);
  BytePair vocabulary;
  std::unordered_map<std::string, TokenId> ids;  // by the file's spelling
  const std::vector<int> order = ByteOrder();
  for (const bool ends_word : {false, true}) {
    for (int place = 0; place < kBytes; ++place) {
      const TokenId id = vocabulary.size();
      ids[ByteLetter(order[place], place).append(ends_word ? kWordEnd : "")] = id;
      vocabulary.symbols_.push_back({std::string(1, static_cast<char>(order[place])), ends_word});
      if (!ends_word) vocabulary.byte_id_[order[place]] = id;
    }
  }

  std::string_view rest = text;
  int line_number = 0;
  const auto next_line = [&] {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    ++line_number;
    return line.ends_with('\r') ? line.substr(0, line.size() - 1) : line;
  };
  if (next_line().find("#version") == std::string_view::npos) {
    Fail(path, "the first line has no \"#version\"");
  }
  vocabulary.merges_.reserve(kMergeLimit);
  while (!rest.empty() && line_number <= kMergeLimit) {
    const std::string_view line = next_line();
    const std::size_t gap = std::min(line.find(' '), line.size());
    const std::string left(line.substr(0, gap));
    const std::string right(line.substr(std::min(gap + 1, line.size())));
    const auto left_id = ids.find(left), right_id = ids.find(right);
    if (left_id == ids.end() || right_id == ids.end() || vocabulary.ends_word(left_id->second)) {
      Fail(path, fmt::format("line {} does not merge two known symbols", line_number));
    }
    const TokenId id = vocabulary.size();
    if (!ids.emplace(left + right, id).second) {
      Fail(path, fmt::format("line {} repeats the symbol of an earlier line", line_number));
    }
    vocabulary.merges_.emplace(PairKey(left_id->second, right_id->second), id);
    const Symbol& last = vocabulary.symbols_[right_id->second];
    vocabulary.symbols_.push_back(
        {vocabulary.symbols_[left_id->second].bytes + last.bytes, last.ends_word});
  }
  if (vocabulary.merges_.empty()) Fail(path, "no merges");
  vocabulary.AddWholeWords();
  return vocabulary;
}

void BytePair::AddWholeWords() {
  std::vector<TokenId> ids;
  for (TokenId id = 0; id < size(); ++id) {
    if (!symbols_[id].ends_word) continue;
    ids.clear();
    Merge(symbols_[id].bytes, ids);
    if (ids.size() == 1) whole_words_.emplace(symbols_[id].bytes, ids.front());
  }
}

TokenId BytePair::Joined(TokenId left, TokenId right) const {
  const auto found = merges_.find(PairKey(left, right));
  return found == merges_.end() ? -1 : found->second;
}

void BytePair::Append(std::string_view word, std::vector<TokenId>& ids) const {
  const auto found = whole_words_.find(word);
  if (found != whole_words_.end()) {
    ids.push_back(found->second);
  } else {
    Merge(word, ids);
  }
}

// The pair whose merge comes first in the file is merged first, equal ones from the left. A merge
// only makes pairs that come later in the file (a symbol is made once, before it is used), so that
// one heap gives the order of CLIP's repeated scans.
void BytePair::Merge(std::string_view word, std::vector<TokenId>& ids) const {
  struct Node {
    TokenId id;  // -1: merged into the one before
    int previous, next;
  };
  struct Candidate {
    TokenId joined;
    int at;
    TokenId left, right;  // the candidate is stale where other symbols stand there by now
  };
  const auto later = [](const Candidate& a, const Candidate& b) {
    return a.joined != b.joined ? a.joined > b.joined : a.at > b.at;
  };
  const int length = static_cast<int>(word.size());
  std::vector<Node> nodes(length);
  for (int i = 0; i < length; ++i) {
    nodes[i] = {byte_id_[static_cast<unsigned char>(word[i])], i - 1, i + 1 < length ? i + 1 : -1};
  }
  nodes.back().id += kBytes;

  std::vector<Candidate> storage;
  storage.reserve(length);
  std::priority_queue<Candidate, std::vector<Candidate>, decltype(later)> candidates(
      later, std::move(storage));
  const auto consider = [&](int at) {
    if (at < 0 || nodes[at].next < 0) return;
    const TokenId left = nodes[at].id, right = nodes[nodes[at].next].id;
    const TokenId joined = Joined(left, right);
    if (joined >= 0) candidates.push({joined, at, left, right});
  };
  for (int i = 0; i + 1 < length; ++i) consider(i);
  while (!candidates.empty()) {
    const Candidate best = candidates.top();
    candidates.pop();
    Node& left = nodes[best.at];
    if (left.id != best.left || left.next < 0 || nodes[left.next].id != best.right) continue;
    Node& right = nodes[left.next];
    left.id = best.joined;
    left.next = right.next;
    right.id = -1;
    if (left.next >= 0) nodes[left.next].previous = best.at;
    consider(left.previous);
    consider(best.at);
  }
  for (int i = 0; i >= 0; i = nodes[i].next) ids.push_back(nodes[i].id);
}

}  // namespace fastclip

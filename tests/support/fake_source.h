#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "pipeline/pixels/encode.h"
#include "pipeline/records/record_source.h"
#include "tokenizer/tokenizer.h"

namespace fastclip {

/// A small PNG whose size and colours tell `number`.
inline std::vector<std::byte> PngOf(std::int64_t number) {
  Image image;
  image.width = static_cast<int>(8 + number % 5);
  image.height = static_cast<int>(8 + number % 3);
  for (int i = 0; i < 3 * image.width * image.height; ++i) {
    image.pixels.push_back(static_cast<std::uint8_t>((number + 1) * 2654435761u >> (i % 24)));
  }
  return EncodePng(image);
}

/// Records made up from their index; `before_read` may block or throw, `bad` are records that the
/// source skips, `damaged` ones have bytes that no decoder takes.
class FakeSource final : public RecordSource {
 public:
  explicit FakeSource(std::int64_t size) : size_(size) {}

  std::int64_t size() const override { return size_; }
  std::uint64_t hash() const override { return 0; }
  RecordOrigin OriginOf(SampleIndex index) const override { return {"fake", ToInt(index)}; }

  void ReadAhead(SampleIndex first, int count) const override {
    if (on_read_ahead) on_read_ahead(ToInt(first), count);
  }

  RecordBlock Read(SampleIndex first, int count, std::stop_token stop) const override {
    RecordBlock block;
    block.captions.reserve(count * 3);  // the records' views stay valid
    for (std::int64_t i = ToInt(first); i < ToInt(first) + count; ++i) {
      if (before_read) before_read(i, stop);
      Record record;
      record.index = SampleIndex{i};
      record.label = static_cast<std::int64_t>(i % 10);
      if (bad.contains(i)) {
        record.skip = bad.at(i);
      } else {
        auto image = image_of(i);
        if (damaged.contains(i)) image.resize(image.size() / 2);
        record.image = {Store(block, image.data(), image.size()), image.size()};
        const std::size_t first_caption = block.captions.size();
        for (int c = 0; c < captions_of(i); ++c) {
          const std::string text = "caption " + std::to_string(c) + " of " + std::to_string(i);
          const std::byte* stored = Store(block, text.data(), text.size());
          block.captions.push_back({{reinterpret_cast<const char*>(stored), text.size()}, 1});
        }
        record.captions = std::span(block.captions).subspan(first_caption);
      }
      block.records.push_back(record);
    }
    return block;
  }

  std::map<std::int64_t, Skip> bad;
  std::map<std::int64_t, bool> damaged;
  std::function<int(std::int64_t)> captions_of = [](std::int64_t i) {
    return 1 + static_cast<int>(i % 3);
  };
  std::function<std::vector<std::byte>(std::int64_t)> image_of = PngOf;
  std::function<void(std::int64_t, std::stop_token)> before_read;
  std::function<void(std::int64_t, int)> on_read_ahead;

 private:
  static const std::byte* Store(RecordBlock& block, const void* data, std::size_t size) {
    block.memory.push_back(MakeRecordMemory(size));
    std::memcpy(block.memory.back().get(), data, size);
    return block.memory.back().get();
  }

  std::int64_t size_;
};

/// Every byte is an id; 256 starts, 257 ends, 258 pads.
class ByteTokenizer final : public Tokenizer {
 public:
  std::vector<TokenId> Encode(std::string_view text) const override {
    if (before_encode) before_encode(text);
    std::vector<TokenId> ids;
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  std::string Decode(std::span<const TokenId> ids) const override {
    std::string text;
    for (const TokenId id : ids) text.push_back(static_cast<char>(id));
    return text;
  }
  SpecialTokens special() const override { return {.start = 256, .end = 257, .pad = 258}; }
  int vocab_size() const override { return 259; }

  std::function<void(std::string_view)> before_encode;
};

}  // namespace fastclip

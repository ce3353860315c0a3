#include "pipeline/records/block_builder.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "pipeline/base/utf8.h"

namespace fastclip {
namespace {

constexpr std::string_view kBlanks = " \t\r\n\v\f";
constexpr std::string_view kLineBreaks = "\r\n";

/// Cuts the first line that is not blank off `text`, without the blanks in front of it; empty where
/// there is none left.
std::string_view TakeLine(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
  const std::string_view line = text.substr(0, text.find_first_of(kLineBreaks));
  text.remove_prefix(line.size());
  return line;
}

}  // namespace

std::span<std::byte> BlockBuilder::Allocate(std::size_t bytes) {
  block_.memory.push_back(MakeRecordMemory(bytes));
  return {block_.memory.back().get(), bytes};
}

std::string_view BlockBuilder::Keep(std::string_view text) {
  if (text.empty()) return {};
  const auto bytes = Allocate(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Record& BlockBuilder::Add(SampleIndex index) {
  caption_counts_.push_back(0);
  caption_bytes_ = 0;
  fault_of_captions_.reset();
  Record& record = block_.records.emplace_back();
  record.index = index;
  return record;
}

void BlockBuilder::AddCaption(std::string_view text, float weight) {
  block_.captions.push_back({text, weight});
  ++caption_counts_.back();
}

void BlockBuilder::AddTrimmedCaption(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return;
  text = text.substr(first, text.find_last_not_of(kBlanks) + 1 - first);
  if (text.size() > kMaxCaptionBytes) {
    std::size_t end = kMaxCaptionBytes;
    // At most three steps back over the continuation bytes of one character.
    for (int i = 0; i < 3 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80; ++i) --end;
    text = text.substr(0, end);
  }
  if (!IsUtf8(text)) {
    fault_of_captions_ = Skip::kBadCaption;
    return;
  }
  caption_bytes_ += text.size();
  if (CaptionsOfLast() == kMaxCaptions || caption_bytes_ > kMaxCaptionsBytes) {
    fault_of_captions_ = Skip::kTooLarge;
    return;
  }
  AddCaption(text);
}

void BlockBuilder::AddCaptionLines(std::string_view text) {
  for (auto line = TakeLine(text); !line.empty() && !fault_of_captions_; line = TakeLine(text)) {
    AddTrimmedCaption(line);
  }
}

void BlockBuilder::ShareWeight(std::size_t count, float weight) {
  for (Caption& caption : std::span(block_.captions).last(count)) {
    caption.weight = weight / static_cast<float>(count);
  }
}

void BlockBuilder::Append(RecordBlock block, std::int64_t shift) {
  for (Record& record : block.records) {
    caption_counts_.push_back(record.captions.size());
    block_.captions.insert(block_.captions.end(), record.captions.begin(), record.captions.end());
    record.index = SampleIndex{ToInt(record.index) + shift};
    block_.records.push_back(record);
  }
  std::ranges::move(block.memory, std::back_inserter(block_.memory));
}

RecordBlock BlockBuilder::Finish() {
  // Only now do the captions stay where they are.
  const Caption* next = block_.captions.data();
  for (std::size_t i = 0; i < block_.records.size(); ++i) {
    block_.records[i].captions = {next, caption_counts_[i]};
    next += caption_counts_[i];
  }
  caption_counts_.clear();
  return std::exchange(block_, {});
}

bool HasSeveralLines(std::string_view text) {
  return !TakeLine(text).empty() && !TakeLine(text).empty();
}

}  // namespace fastclip

#include "tokenizer/byte_letters.h"

namespace fastclip {
namespace {

constexpr int kPrintingBytes = 94 + 12 + 82;

}  // namespace

std::vector<int> ByteOrder() {
  const auto prints = [](int b) {
    return (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
  };
  std::vector<int> order;
  for (int b = 0; b < kBytes; ++b) {
    if (prints(b)) order.push_back(b);
  }
  for (int b = 0; b < kBytes; ++b) {
    if (!prints(b)) order.push_back(b);
  }
  return order;
}

std::string ByteLetter(int byte, int place) {
  const int code = place < kPrintingBytes ? byte : 0x100 + place - kPrintingBytes;
  if (code < 0x80) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 0x3F))};
}

}  // namespace fastclip

#include "pipeline/base/status_line.h"

#include <algorithm>
#include <cmath>

namespace fastclip {
namespace {

constexpr std::size_t kGap = 2, kShortestBar = 10, kLongestBar = 30;  // with its brackets

bool StartsCharacter(char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }

std::string Cut(const std::string& text, std::size_t columns) {
  if (Columns(text) <= columns) return text;
  if (columns == 0) return "";
  std::string cut;
  std::size_t characters = 0;
  for (const char c : text) {
    if (StartsCharacter(c) && ++characters == columns) break;
    cut += c;
  }
  return cut + "…";
}

std::string DrawBar(double share, std::size_t columns, bool colour) {
  const std::size_t inside = columns - 2;
  const auto full =
      static_cast<std::size_t>(std::clamp(share, 0.0, 1.0) * static_cast<double>(inside));
  std::string done(full, '=');
  if (full < inside) done += '>';
  const std::string left(inside - done.size(), ' ');
  return colour ? "[\033[32m" + done + "\033[0m" + left + "]" : "[" + done + left + "]";
}

}  // namespace

std::size_t Columns(const std::string& text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, StartsCharacter));
}

StatusLine& StatusLine::Add(int rank, std::string text) {
  if (!text.empty()) fields_.push_back({rank, std::move(text)});
  return *this;
}

StatusLine& StatusLine::Bar(double share) {
  share_ = share;
  bar_at_ = fields_.size();
  return *this;
}

std::string StatusLine::Whole() const {
  std::string line;
  for (const Field& field : fields_) line += (line.empty() ? "" : "  ") + field.text;
  return line;
}

std::string StatusLine::Fit(std::size_t columns, bool colour) const {
  int highest = 0;
  for (const Field& field : fields_) highest = std::max(highest, field.rank);
  const auto width_up_to = [&](int rank) {
    std::size_t width = 0;
    for (const Field& field : fields_) {
      if (field.rank <= rank) width += Columns(field.text) + (width == 0 ? 0 : kGap);
    }
    return width;
  };
  int rank = highest;
  const std::size_t bar = share_ ? kGap + kShortestBar : 0;  // only fields of rank 0 go before it
  while (rank > 0 && width_up_to(rank) + bar > columns) --rank;
  const std::size_t used = width_up_to(rank);
  const std::size_t left = columns > used + kGap ? columns - used - kGap : 0;
  const bool with_bar = share_ && left >= kShortestBar;
  std::string line;
  const auto append = [&](const std::string& text) { line += (line.empty() ? "" : "  ") + text; };
  for (std::size_t i = 0; i <= fields_.size(); ++i) {
    if (with_bar && i == bar_at_) append(DrawBar(*share_, std::min(left, kLongestBar), colour));
    if (i < fields_.size() && fields_[i].rank <= rank) append(fields_[i].text);
  }
  return with_bar ? line : Cut(line, columns);
}

}  // namespace fastclip

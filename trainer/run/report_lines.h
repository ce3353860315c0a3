#pragma once

#include <fmt/format.h>

#include <string>
#include <utility>

namespace fastclip {

/// Lines in two columns: a name and a text.
class ReportLines {
 public:
  template <class... Args>
  void Add(const char* name, fmt::format_string<Args...> text, Args&&... args) {
    text_ += fmt::format("{:<11} {}\n", name, fmt::format(text, std::forward<Args>(args)...));
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

}  // namespace fastclip

#include "pipeline/records/class_names.h"

#include <fmt/format.h>

#include "pipeline/base/ascii.h"
#include "pipeline/base/printable.h"

namespace fastclip {
namespace {

constexpr std::size_t kRemembered = 1000;
constexpr std::size_t kLongest = 256;  // bytes of a remembered name
constexpr std::size_t kTold = 5;
constexpr std::size_t kMostTaken = 100'000;

/// In small letters, one blank between words.
std::string Folded(std::string_view name) {
  std::string folded;
  for (const char c : name) {
    const bool between = c == ' ' || c == '\t' || c == '_' || c == '-';
    if (!between) {
      folded += LowerAscii(c);
    } else if (!folded.empty() && folded.back() != ' ') {
      folded += ' ';
    }
  }
  if (folded.ends_with(' ')) folded.pop_back();
  return folded;
}

}  // namespace

ClassNames::ClassNames(const std::vector<std::string>& names)
    : size_(static_cast<std::int64_t>(names.size())) {
  for (std::int64_t place = 0; place < size_; ++place) {
    const std::string& name = names[static_cast<std::size_t>(place)];
    if (const auto [known, fresh] = exact_.emplace(name, place); !fresh) known->second = kSeveral;
    if (const auto [known, fresh] = folded_.emplace(Folded(name), place); !fresh) {
      known->second = kSeveral;
    }
  }
}

std::shared_ptr<const ClassNames> ClassNames::Any() {
  auto names = std::make_shared<ClassNames>(std::vector<std::string>());
  names->any_ = true;
  return names;
}

std::optional<std::int64_t> ClassNames::Find(std::string_view name) const {
  auto found = exact_.find(std::string(name));
  if (found == exact_.end()) {
    found = folded_.find(Folded(name));
    if (found == folded_.end()) return std::nullopt;
  }
  if (found->second == kSeveral) return std::nullopt;
  return found->second;
}

std::optional<std::int64_t> ClassNames::Label(std::string_view name) const {
  const auto place = Find(name);
  if (place) return place;
  const MutexLock lock(mutex_);
  const std::string kept(name.substr(0, kLongest));
  if (any_ && taken_.size() < kMostTaken) {
    return taken_.emplace(kept, static_cast<std::int64_t>(taken_.size())).first->second;
  }
  if (unknown_.size() < kRemembered || unknown_.contains(kept)) ++unknown_[kept];
  return std::nullopt;
}

std::map<std::string, std::int64_t> ClassNames::unknown() const {
  const MutexLock lock(mutex_);
  return unknown_;
}

void ClassNames::ForgetUnknown() const {
  const MutexLock lock(mutex_);
  unknown_.clear();
}

std::string ClassNames::DescribeUnknown() const {
  const auto names = unknown();
  if (names.empty()) return "";
  std::string text;
  std::size_t told = 0;
  for (const auto& [name, count] : names) {
    if (told++ == kTold) break;
    text += fmt::format("{}'{}'", text.empty() ? "" : ", ", Printable(name));
  }
  if (names.size() > kTold) text += fmt::format(" and {} more", names.size() - kTold);
  return text + (names.size() == 1 ? " is not a class name" : " are not class names");
}

}  // namespace fastclip

#include "pipeline/picture_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace fastclip {
namespace {

constexpr std::pair<std::string_view, PictureFormat> kNames[] = {
    {"jpeg", PictureFormat::kJpeg}, {"jpg", PictureFormat::kJpeg}, {"png", PictureFormat::kPng},
    {"webp", PictureFormat::kWebp}, {"gif", PictureFormat::kGif},  {"bmp", PictureFormat::kBmp}};

char LowerAscii(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

PictureFormats ParsePictureFormats(std::span<const std::string> names) {
  PictureFormats formats{};
  for (const std::string& name : names) {
    const auto format = FormatOfExtension(name);
    if (!format) {
      throw std::invalid_argument(
          fmt::format("'{}' is no picture format: there are jpeg, png, webp, gif, bmp", name));
    }
    formats.Add(*format);
  }
  if (names.empty()) throw std::invalid_argument("no picture format: name one or more");
  return formats;
}

std::optional<PictureFormat> FormatOfExtension(std::string_view extension) {
  for (const auto& [name, format] : kNames) {
    if (std::ranges::equal(extension, name, {}, LowerAscii)) return format;
  }
  return std::nullopt;
}

}  // namespace fastclip

#include "pipeline/records/picture_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "pipeline/base/ascii.h"

namespace fastclip {
namespace {

constexpr std::pair<std::string_view, PictureFormat> kNames[] = {
    {"jpeg", PictureFormat::kJpeg}, {"jpg", PictureFormat::kJpeg}, {"png", PictureFormat::kPng},
    {"webp", PictureFormat::kWebp}, {"gif", PictureFormat::kGif},  {"bmp", PictureFormat::kBmp}};

}  // namespace

PictureFormats ParsePictureFormats(std::span<const std::string> names) {
  PictureFormats formats{};
  for (const std::string& name : names) {
    const auto format = FormatOfExtension(name);
    if (!format) {
      throw std::invalid_argument(
          fmt::format("unknown image format '{}'; use jpeg, png, webp, gif or bmp", name));
    }
    formats.Add(*format);
  }
  if (names.empty()) throw std::invalid_argument("no image format is set; list at least one");
  return formats;
}

std::optional<PictureFormat> FormatOfExtension(std::string_view extension) {
  for (const auto& [name, format] : kNames) {
    if (EqualsInAnyCase(extension, name)) return format;
  }
  return std::nullopt;
}

}  // namespace fastclip

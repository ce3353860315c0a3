// The pixels of Pillow, to the byte: tests/golden/pixels.* (made by make_pixels.py) and, where the
// folder of golden files is there, its openclip/pixels.*.

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "pipeline/pixels/image.h"
#include "pipeline/pixels/resize.h"
#include "tests/support/paths.h"
#include "tests/support/safetensors_reader.h"

namespace fastclip {
namespace {

using Bytes = std::span<const std::uint8_t>;

void ExpectEqual(Bytes made, Bytes wanted, const std::string& what) {
  ASSERT_EQ(made.size(), wanted.size()) << what;
  std::size_t differ = 0;
  for (std::size_t i = 0; i < made.size(); ++i) differ += made[i] != wanted[i];
  EXPECT_EQ(differ, 0u) << what << ": bytes that differ, of " << made.size();
}

DecodeOptions OptionsOf(const nlohmann::json& entry) {
  DecodeOptions options;
  options.formats.Add(PictureFormat::kGif);
  options.formats.Add(PictureFormat::kBmp);
  options.exif_rotate = entry.value("exif_rotate", false);
  return options;
}

/// Everything that the case's tensors hold of it; the number of pictures compared.
int CompareCase(const nlohmann::json& entry, const SafetensorsReader& file) {
  const std::string name = entry.at("name");
  const DecodeOptions options = OptionsOf(entry);
  const auto decoded = DecodeImage(std::as_bytes(file.at(name + "/file").bytes), options);
  if (!std::holds_alternative<Image>(decoded)) {
    ADD_FAILURE() << name << ": " << SkipName(std::get<Skip>(decoded));
    return 0;
  }
  const Image& image = std::get<Image>(decoded);
  EXPECT_EQ(image.width, entry.at("width").get<int>()) << name;
  EXPECT_EQ(image.height, entry.at("height").get<int>()) << name;
  const int size = entry.at("size");
  const std::string suffix = std::to_string(size);
  std::vector<std::uint8_t> made(3 * size * size);
  int compared = 0;

  ResizeCenterCrop(image, size, made);
  ExpectEqual(made, file.at(name + "/eval" + suffix).bytes, name + "/eval" + suffix);
  ++compared;
  const auto& crops = entry.at("crops_top_left_height_width");
  for (std::size_t i = 0; i < crops.size(); ++i, ++compared) {
    const CropBox box{crops[i].at(0), crops[i].at(1), crops[i].at(2), crops[i].at(3)};
    ResizeBicubic(image, box, size, size, made);
    const std::string tensor = name + "/crop" + std::to_string(i) + "_" + suffix;
    ExpectEqual(made, file.at(tensor).bytes, tensor);
    PicturePart part;
    const auto choose = [&](const ImageSize&) { return box; };
    EXPECT_EQ(DecodePart(std::as_bytes(file.at(name + "/file").bytes), choose, options, part),
              std::nullopt);
    ResizeBicubic(part.image, part.box, size, size, made);
    ExpectEqual(made, file.at(tensor).bytes, tensor + " of a part");
  }
  if (file.tensors().contains(name + "/rgb")) {
    ExpectEqual(image.pixels, file.at(name + "/rgb").bytes, name + "/rgb");
    ++compared;
  }
  if (file.tensors().contains(name + "/over")) {
    const Rgb background = entry.at("background");
    const auto over =
        DecodeImageOver(std::as_bytes(file.at(name + "/file").bytes), background, options);
    EXPECT_TRUE(std::holds_alternative<Image>(over)) << name;
    if (std::holds_alternative<Image>(over)) {
      ExpectEqual(std::get<Image>(over).pixels, file.at(name + "/over").bytes, name + "/over");
    }
    ++compared;
  }
  return compared;
}

void CompareAll(const std::filesystem::path& folder) {
  std::ifstream manifest_file(folder / "pixels.json");
  const auto manifest = nlohmann::json::parse(manifest_file);
  const SafetensorsReader file(folder / "pixels.safetensors");
  int pictures = 0;
  int compared = 0;
  for (const auto& entry : manifest.at("cases")) {
    compared += CompareCase(entry, file);
    ++pictures;
  }
  std::printf("%d pictures, %d outputs compared\n", pictures, compared);
  EXPECT_GT(compared, 0);
}

TEST(PixelsGolden, EqualPillowsInTheProjectsOwnCases) { CompareAll("tests/golden"); }

TEST(PixelsGolden, EqualPillowsInTheSharedCases) {
  if (SharedFolder().empty()) GTEST_SKIP() << "no golden/openclip: FASTCLIP_GOLDEN is not set";
  CompareAll(SharedFolder() / "golden" / "openclip");
}

TEST(PixelsGolden, EqualPillowsInAFolderThatIsNamed) {
  const char* folder = std::getenv("FASTCLIP_PIXELS");
  if (folder == nullptr) GTEST_SKIP() << "FASTCLIP_PIXELS is not set; tools/peers.sh pixels does";
  CompareAll(folder);
}

}  // namespace
}  // namespace fastclip

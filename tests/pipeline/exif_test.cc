#include "pipeline/pixels/exif.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/exif_maker.h"

namespace fastclip {
namespace {

using Bytes = std::vector<std::byte>;

/// Rows of letters, parted by '/', as grey pixels.
PicturePart PartOf(const std::string& letters) {
  PicturePart part;
  part.image.height = 1;
  for (const char c : letters) {
    if (c == '/') {
      ++part.image.height;
    } else {
      part.image.pixels.insert(part.image.pixels.end(), 3, static_cast<std::uint8_t>(c));
    }
  }
  part.image.width = static_cast<int>(part.image.pixels.size()) / 3 / part.image.height;
  return part;
}

/// The letters of the part's box.
std::string LettersOf(const PicturePart& part) {
  std::string letters;
  for (int y = 0; y < part.box.height; ++y) {
    if (y > 0) letters += '/';
    for (int x = 0; x < part.box.width; ++x) {
      const int pixel = (part.box.top + y) * part.image.width + part.box.left + x;
      letters += static_cast<char>(part.image.pixels[3 * static_cast<std::size_t>(pixel)]);
    }
  }
  return letters;
}

// The eight values, from EXIF's definition: where the stored first row and first column are shown.
TEST(Exif, TurnsAPictureAsEachOrientationSays) {
  const char* const wanted[] = {"abc/def",  "cba/fed",  "fed/cba",  "def/abc",
                                "ad/be/cf", "da/eb/fc", "fc/eb/da", "cf/be/ad"};
  for (Orientation orientation = 1; orientation <= 8; ++orientation) {
    PicturePart part = PartOf("abc/def");
    part.box = {0, 0, 2, 3};
    TurnPart(orientation, part);
    EXPECT_EQ(LettersOf(part), wanted[orientation - 1]) << orientation;
  }
}

TEST(Exif, TurnsTheBoxWithThePicture) {
  for (Orientation orientation = 1; orientation <= 8; ++orientation) {
    PicturePart part = PartOf("abcd/efgh/ijkl");
    const ImageSize stored{part.image.width, part.image.height};
    const ImageSize shown = ShownSize(stored, orientation);
    PicturePart whole = part;
    whole.box = {0, 0, stored.height, stored.width};
    TurnPart(orientation, whole);
    whole.box = {1, 1, shown.height - 1, 2};
    part.box = StoredBox(whole.box, stored, orientation);
    TurnPart(orientation, part);
    EXPECT_EQ(LettersOf(part), LettersOf(whole)) << orientation;
  }
}

TEST(Exif, IsReadInBothByteOrders) {
  EXPECT_EQ(ReadOrientation(ExifOf(6)), 6);
  Bytes little;
  for (const int value :
       {0x49, 0x49, 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, 8, 0, 0, 0}) {
    little.push_back(static_cast<std::byte>(value));
  }
  EXPECT_EQ(ReadOrientation(little), 8);
}

TEST(Exif, ThatMakesNoSenseCountsAsNone) {
  EXPECT_EQ(ReadOrientation({}), kUpright);
  EXPECT_EQ(ReadOrientation(ExifOf(0)), kUpright);
  EXPECT_EQ(ReadOrientation(ExifOf(9)), kUpright);
  const Bytes good = ExifOf(5);
  for (std::size_t size = 0; size < good.size(); ++size) {
    const Bytes cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size));
    const bool whole_entry = size >= 28;
    EXPECT_EQ(ReadOrientation(cut), whole_entry ? 5 : kUpright) << size;
  }
  for (const std::size_t at : {6u, 9u, 17u, 20u, 22u, 25u}) {  // order, 42, tag, type, count
    Bytes wrong = good;
    wrong[at] ^= std::byte{0x55};
    EXPECT_EQ(ReadOrientation(wrong), kUpright) << at;
  }
}

}  // namespace
}  // namespace fastclip

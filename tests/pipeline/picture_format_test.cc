#include "pipeline/records/picture_format.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <vector>

namespace fastclip {
namespace {

using Names = std::vector<std::string>;

TEST(PictureFormats, AreParsedFromTheirNames) {
  EXPECT_EQ(ParsePictureFormats(Names{"jpeg", "png", "webp"}), kUsualFormats);
  const PictureFormats two = ParsePictureFormats(Names{"bmp", "jpg", "bmp"});
  EXPECT_TRUE(two.Has(PictureFormat::kBmp) && two.Has(PictureFormat::kJpeg));
  EXPECT_FALSE(two.Has(PictureFormat::kPng) || two.Has(PictureFormat::kGif));
}

TEST(PictureFormats, RefuseWhatIsNone) {
  EXPECT_THROW(ParsePictureFormats(Names{}), std::invalid_argument);
  EXPECT_THROW(ParsePictureFormats(Names{"jpeg", ""}), std::invalid_argument);
  try {
    ParsePictureFormats(Names{"png", "tiff"});
    FAIL();
  } catch (const std::invalid_argument& error) {
    EXPECT_NE(std::string(error.what()).find("'tiff'"), std::string::npos) << error.what();
  }
}

TEST(PictureFormats, AreToldByExtensionInAnyCase) {
  EXPECT_EQ(FormatOfExtension("JPG"), PictureFormat::kJpeg);
  EXPECT_EQ(FormatOfExtension("gif"), PictureFormat::kGif);
  EXPECT_EQ(FormatOfExtension("jpg.txt"), std::nullopt);
}

}  // namespace
}  // namespace fastclip

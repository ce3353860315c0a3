#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace fastclip {

/// Retrieval in one direction: images to captions or captions to images. Ranks count from 1;
/// recalls are fractions of the queries. With tied scores each value is the expected value over all
/// orders of the tie.
struct RetrievalDirection {
  double recall_1 = 0;
  double recall_5 = 0;
  double recall_10 = 0;
  double mean_rank = 0;
  double median_rank = 0;
};

struct RetrievalMetrics {
  RetrievalDirection image_to_text;  ///< an image's rank is that of its best caption
  RetrievalDirection text_to_image;  ///< each caption is a query
  std::int64_t images = 0;
  std::int64_t captions = 0;
};

/// Retrieval among the images [n, d] and captions [m, d] of a set; caption_row [m] is the image of
/// each caption, in any order. An image without a caption is not a query, but is a candidate for
/// the captions. Scores are computed in tiles of `tile` images and captions, which limits memory
/// and does not change the result; they are rounded to float so that equal features tie. Throws
/// std::runtime_error if there are no features or some are not finite.
RetrievalMetrics ComputeRetrieval(const at::Tensor& image_features, const at::Tensor& text_features,
                                  std::span<const std::int64_t> caption_row,
                                  std::int64_t tile = 2048);

/// Under OpenCLIP's names: "image_to_text_R@1", …, "text_to_image_median_rank".
std::vector<std::pair<std::string, double>> NamedRetrieval(const RetrievalMetrics& metrics);

}  // namespace fastclip

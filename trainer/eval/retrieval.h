#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace fastclip {

/// How well pictures find their captions, or captions their pictures. Ranks count from 1; the
/// recalls are shares of the queries. Where scores tie, each is the expected value over all orders
/// of those that tie.
struct RetrievalDirection {
  double recall_1 = 0;
  double recall_5 = 0;
  double recall_10 = 0;
  double mean_rank = 0;
  double median_rank = 0;
};

struct RetrievalMetrics {
  RetrievalDirection image_to_text;  ///< a picture's rank is that of its best caption
  RetrievalDirection text_to_image;  ///< each caption is a query
  std::int64_t images = 0;
  std::int64_t captions = 0;
};

/// Retrieval among the pictures [n, d] and captions [m, d] of a set; caption_row [m] says whose
/// each caption is, in any order. A picture without caption is no query, but the captions have to
/// tell it apart. Scores are computed by `tile` pictures and captions at once, which bounds the
/// memory and changes nothing; they are rounded to float, so that equal features tie. Throws
/// std::runtime_error where features are not finite, or there are none.
RetrievalMetrics ComputeRetrieval(const at::Tensor& image_features, const at::Tensor& text_features,
                                  std::span<const std::int64_t> caption_row,
                                  std::int64_t tile = 2048);

/// Under OpenCLIP's names: "image_to_text_R@1", …, "text_to_image_median_rank".
std::vector<std::pair<std::string, double>> NamedRetrieval(const RetrievalMetrics& metrics);

}  // namespace fastclip

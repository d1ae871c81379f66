#include "data/resize.h"

#include <fmt/format.h>

#include <algorithm>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>
#include <stdexcept>
#include <vector>

#include "base/torch.h"

namespace uvic::data {

void fit_square(const formats::Image& image, int64_t size, uint8_t* planes) {
  // Images are already spread over our own threads; OpenCV must not start more.
  static const bool single_threaded = (cv::setNumThreads(1), true);
  (void)single_threaded;

  const int side = std::min(image.width, image.height), target = static_cast<int>(size);
  if (side < 1 || target < 1)
    throw std::invalid_argument(
        fmt::format("fit_square: image of {} x {} px to {} px", image.width, image.height, size));

  const cv::Mat whole(image.height, image.width, CV_8UC3, const_cast<uint8_t*>(image.rgb.data()));
  const cv::Mat square =
      whole(cv::Rect((image.width - side) / 2, (image.height - side) / 2, side, side));
  cv::Mat fitted = square;
  if (side != target)
    cv::resize(square,
               fitted,
               cv::Size(target, target),
               0,
               0,
               side > target ? cv::INTER_AREA : cv::INTER_CUBIC);

  std::vector<cv::Mat> channels;
  for (int c = 0; c < 3; ++c)
    channels.emplace_back(target, target, CV_8UC1, planes + c * size * size);
  cv::split(fitted, channels);
}

torch::Tensor image_planes(const formats::Image& image) {
  auto planes = torch::empty({3, image.height, image.width}, torch::kUInt8);
  const auto plane = static_cast<size_t>(image.height) * static_cast<size_t>(image.width);
  auto* to = planes.data_ptr<uint8_t>();
  for (size_t p = 0; p < plane; ++p)
    for (size_t c = 0; c < 3; ++c) to[c * plane + p] = image.rgb[3 * p + c];
  return planes;
}

formats::Image image_of_planes(const torch::Tensor& planes) {
  const auto rows = planes.permute({1, 2, 0}).contiguous();  // [H, W, 3]
  const auto* bytes = rows.data_ptr<uint8_t>();
  return {static_cast<int>(rows.size(1)),
          static_cast<int>(rows.size(0)),
          std::vector<uint8_t>(bytes, bytes + rows.numel())};
}

}  // namespace uvic::data

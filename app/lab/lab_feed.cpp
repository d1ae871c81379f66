#include "app/lab/lab_feed.h"

#include <fmt/format.h>

#include <utility>

#include "data/pixel_range.h"

namespace uvic::app {
namespace {

/// x_t as an image: divided by its standard deviation for data of unit variance.
torch::Tensor as_image(const torch::Tensor& x) {
  return data::to_bytes(x / x.square().mean().sqrt().clamp_min(1));
}

}  // namespace

std::string LabPlaces::label(size_t place) const {
  if (!are_ranges()) return fmt::format("{}", times.at(place));
  const auto& range = ranges.at(place);
  if (range.end - range.begin == 1) return fmt::format("{}", range.begin);
  return fmt::format("{}-{}", range.begin, range.end - 1);
}

ImageFeed::ImageFeed(const LabExamples& examples, std::vector<double> times)
    : examples_(examples), places_{std::move(times), {}} {}

void ImageFeed::rewind() { reader_.reset(); }

void ImageFeed::read(int64_t count) {
  if (!reader_) reader_.emplace(examples_);
  batch_ = reader_->next(count);
  noisy_.clear();
  for (const double time : places_.times) noisy_.push_back(examples_.at(batch_, time));
}

LabPass ImageFeed::pass(size_t number) const {
  const auto& example = noisy_.at(number);
  return {example.x_t, example.network_time, batch_.condition, {number}};
}

torch::Tensor ImageFeed::losses(const torch::Tensor& prediction, size_t place) const {
  return examples_.losses(prediction, noisy_.at(place));
}

void ImageFeed::illustrate(size_t pass, int64_t example, AttentionMap& map) const {
  map.words = examples_.words(batch_, example);
  if (!batch_.images.defined()) return;
  map.image = batch_.images[example];
  const auto& x_t = noisy_.at(pass).x_t;
  if (batch_.x0.sizes() == batch_.images.sizes())
    map.noisy = as_image(x_t[example].cpu());  // no latent
}

}  // namespace uvic::app

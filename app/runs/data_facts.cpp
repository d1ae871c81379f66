#include "app/runs/data_facts.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <stdexcept>
#include <utility>

#include "app/runs/latent_space.h"
#include "base/check.h"
#include "data/captioned_set.h"
#include "model/network_options.h"

namespace uvic::app {
namespace {

constexpr int64_t kLooked = 16, kPublishedSize = 32, kPublishedChannels = 3, kLatentChannels = 4;

/// Sizes of at most kLooked images, spread evenly. Files that can't be read are left to training,
/// which names them.
std::set<std::pair<int64_t, int64_t>> sizes_of(const data::Dataset& dataset) {
  std::set<std::pair<int64_t, int64_t>> sizes;
  const int64_t count = std::min(kLooked, dataset.size());
  for (int64_t i = 0; i < count; ++i) {
    try {
      const auto size = dataset.own_size(i * dataset.size() / count);
      sizes.emplace(size.width, size.height);
    } catch (const std::runtime_error&) {
    }
  }
  return sizes;
}

std::string sides_text(const std::set<std::pair<int64_t, int64_t>>& sizes) {
  constexpr size_t kShown = 3;
  std::string text;
  size_t shown = 0;
  for (const auto& [width, height] : sizes) {
    if (shown++ == kShown) return text + ", ...";
    text += fmt::format("{}{} x {}", text.empty() ? "" : ", ", width, height);
  }
  return text + " px";
}

std::unique_ptr<data::Dataset> open_at(const RunConfig& config, int64_t image_size) {
  auto options = config.dataset;
  options.image_size = image_size;
  return config.model.input().takes_context() ? data::open_captioned_dataset(config.data, options)
                                              : data::open_dataset(config.data, options);
}

/// Pixels of an image for each cell of the network's input along a side.
int64_t pixels_per_cell(const RunConfig& config) {
  model::NetworkInput input;
  input.size = 1;
  return image_size_of(config.encoders, input);
}

}  // namespace

std::vector<std::string> take_from_data(RunConfig& config) {
  if (!config.needs_data()) return {};
  if (!works_on_images(config.model)) return take_defaults(config);
  const auto own = image_input(config.model);
  const auto cell = pixels_per_cell(config);
  const auto dataset = open_at(config, own.size > 0 ? own.size * cell : kPublishedSize * cell);
  const auto format = dataset->format();
  if (format.is_latent)
    return fill_from_data(
        config, format.size, format.channels / 2, dataset->class_count(), config.data);
  int64_t side = own.size * cell;
  if (own.size == 0) {
    const auto sizes = sizes_of(*dataset);
    std::set<int64_t> sides;
    for (const auto& [width, height] : sizes) sides.insert(std::min(width, height));
    base::require(sides.size() == 1,
                  "{}: images of {}; give --model.img_size",
                  config.data,
                  sides.empty() ? "unknown size" : sides_text(sizes));
    side = *sides.begin();
  }
  return fill_from_data(config,
                        side / cell,
                        config.encoders.is_latent() ? kLatentChannels : kPublishedChannels,
                        dataset->class_count(),
                        config.data);
}

std::vector<std::string> take_defaults(RunConfig& config) {
  auto lines = fill_from_data(config,
                              kPublishedSize,
                              config.encoders.is_latent() ? kLatentChannels : kPublishedChannels,
                              /*classes=*/0,
                              "a run without --data");
  if (!works_on_images(config.model)) lines.clear();  // what it has no use for
  return lines;
}

std::unique_ptr<data::Dataset> open_training_images(const RunConfig& config) {
  return open_at(config, image_size_of(config.encoders, config.model.input()));
}

std::string size_note(const data::Dataset& dataset, const RunConfig& config) {
  if (dataset.format().is_latent) return "";
  const auto size = image_size_of(config.encoders, config.model.input());
  const auto sizes = sizes_of(dataset);
  if (sizes.empty() || (sizes.size() == 1 && *sizes.begin() == std::pair(size, size))) return "";
  return fmt::format("images of {} are {}; they are cropped to squares and resized to {} px",
                     config.data,
                     sides_text(sizes),
                     size);
}

}  // namespace uvic::app

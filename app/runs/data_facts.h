// What the training images decide of a run's config, and what does not suit them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "app/runs/run_config.h"
#include "data/dataset.h"

namespace uvic::app {

/// Opens config.data and fills what is left to it (RunConfig::leave_to_data). Returns a line for
/// each value. Where images are of several sizes img_size must be given: throws
/// std::invalid_argument that says so, and what open_dataset() throws.
std::vector<std::string> take_from_data(RunConfig& config);

/// Without data: img_size 32 and no classes, the values of the published CIFAR-10 recipe.
std::vector<std::string> take_defaults(RunConfig& config);

/// The training images at the size of the network.
std::unique_ptr<data::Dataset> open_training_images(const RunConfig& config);

/// "images of DATA are 96 x 64 px, cropped and resized to 32": empty where they have the size of
/// the network. Reads the headers of at most 16 images, spread evenly.
std::string size_note(const data::Dataset& dataset, const RunConfig& config);

}  // namespace uvic::app

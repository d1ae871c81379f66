// The images that the commands which train a network test it on.
#pragma once

#include <memory>
#include <string>

#include "data/dataset.h"

namespace uvic::app {

/// The images of `test`; where that is empty and the training images are procedural, those of the
/// next seed, which is a disjoint set; else null. Throws as data::open_dataset() does.
inline std::unique_ptr<data::Dataset> open_test_set(const std::string& test,
                                                    const std::string& training,
                                                    data::DatasetOptions options) {
  if (!test.empty()) return data::open_dataset(test, options);
  if (training != "procedural") return nullptr;
  ++options.procedural_seed;
  return data::open_dataset("procedural", options);
}

}  // namespace uvic::app

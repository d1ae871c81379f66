// uvic train-features: the embedded feature network from any labelled set of images.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <string>

#include "data/dataset.h"
#include "metrics/embedded_training.h"

namespace uvic::app {

struct TrainFeaturesOptions {
  std::string data = "procedural";
  std::string test;
  std::string out;
  std::string weights;
  bool overwrite = false;
  int64_t test_images = 2000;
  int64_t threads = 0;
  metrics::EmbeddedTrainingOptions training;
  data::DatasetOptions dataset;

  template <class Visitor>
  void fields(Visitor&& visit) {
    using base::Field;
    visit("data",
          data,
          Field{"Labelled images: procedural, a folder with a subfolder for each class, a zip, "
                "CIFAR-10's binary folder"});
    visit("test",
          test,
          Field{"Images of the same classes to test on; for procedural data, by default, another "
                "seed of it"});
    visit("out", out, Field{"File of the network (.safetensors)"});
    visit("weights",
          weights,
          Field{"A network of an earlier call, to be tested on --test instead of training one"});
    visit("overwrite", overwrite, Field{"Replace the file --out where there is one"});
    visit("test_images",
          test_images,
          Field{"Test on at most that many images, spread over --test",
                base::from(1, base::kMostCount)});
    visit("threads", threads, base::threads_field());
    visit("training", training, "");
    visit("dataset", dataset, "");
  }

  /// Throws std::invalid_argument.
  void validate() const;
};

struct TrainFeaturesResult {
  double train_accuracy = -1;  ///< over the last report of training; -1: nothing was trained
  double test_accuracy = -1;   ///< -1: there was no test set
};

TrainFeaturesResult run_train_features(const TrainFeaturesOptions& options);

void add_train_features_command(CLI::App& app);

}  // namespace uvic::app

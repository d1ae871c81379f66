#include "app/commands/train_features.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "app/commands/test_set.h"
#include "app/options/json_output.h"
#include "app/options/options.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/process.h"
#include "base/progress_line.h"
#include "base/torch.h"
#include "data/formats/output_file.h"
#include "data/loader.h"
#include "metrics/embedded_features.h"
#include "metrics/embedded_net.h"

namespace uvic::app {
namespace {

/// Share of `count` images, spread over the set, whose class is the likeliest by the logits.
double accuracy(const metrics::FeatureExtractor& extractor,
                const data::Dataset& dataset,
                int64_t count) {
  constexpr int64_t kBatch = 256;
  count = std::min(count, dataset.size());
  int64_t right = 0;
  for (int64_t i = 0; i < count; i += kBatch) {
    const auto batch = data::read_spread(dataset, i, std::min(i + kBatch, count), count);
    right +=
        extractor.activations(batch.images).logits.argmax(1).eq(batch.labels).sum().item<int64_t>();
  }
  return static_cast<double>(right) / static_cast<double>(count);
}

}  // namespace

void TrainFeaturesOptions::validate() const {
  if (out.empty() && weights.empty())
    throw std::invalid_argument("train-features: --out is missing; give the network's file");
  if (!weights.empty() && (!out.empty() || test.empty()))
    throw std::invalid_argument("--weights: tests a network; give --test, and no --out");
  base::check_fields(*this);
}

namespace {

void require_classes(const data::Dataset& test,
                     const std::vector<std::string>& classes,
                     const std::string& whose) {
  const auto list = [](const std::vector<std::string>& names) {
    return names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", "));
  };
  base::require(test.class_names() == classes,
                "{} has other classes than {}: {} instead of {}",
                test.describe(),
                whose,
                list(test.class_names()),
                list(classes));
}

TrainFeaturesResult test_features(const TrainFeaturesOptions& options) {
  const auto test = data::open_dataset(options.test, options.dataset);
  require_classes(*test,
                  metrics::read_embedded_weights(options.weights).class_names,
                  "the network " + options.weights);
  TrainFeaturesResult result;
  result.test_accuracy =
      accuracy(*metrics::load_embedded_extractor(options.weights), *test, options.test_images);
  return result;
}

}  // namespace

TrainFeaturesResult run_train_features(const TrainFeaturesOptions& options) {
  options.validate();
  base::set_up_process(options.threads);
  if (!options.weights.empty()) return test_features(options);
  formats::check_output_file(options.out, options.overwrite);
  const auto dataset = data::open_dataset(options.data, options.dataset);
  const auto test = open_test_set(options.test, options.data, options.dataset);
  if (test) require_classes(*test, dataset->class_names(), dataset->describe());

  TrainFeaturesResult result;
  const auto begin = std::chrono::steady_clock::now();
  auto line = base::CountProgress("trained", "images").of_terminal();
  const auto weights = metrics::train_embedded(
      *dataset, options.training, [&](const metrics::EmbeddedTrainingProgress& p) {
        const double seconds = base::seconds_since(begin);
        base::say_progress(
            fmt::format("{} of {} images  loss {:.4f}  accuracy {:.1f} %  {:.0f} images/s",
                        p.images_seen,
                        options.training.images,
                        p.loss,
                        100 * p.accuracy,
                        static_cast<double>(p.images_seen) / seconds));
        line.show(static_cast<double>(p.images_seen), options.training.images);
        result.train_accuracy = p.accuracy;
      });
  metrics::write_embedded_weights(options.out, weights);
  if (test)
    result.test_accuracy =
        accuracy(*metrics::load_embedded_extractor(options.out), *test, options.test_images);
  return result;
}

void add_train_features_command(CLI::App& app) {
  auto options = std::make_shared<TrainFeaturesOptions>();
  auto* command = app.add_subcommand(
      "train-features", "Train the feature network of `uvic fid --extractor embedded`");
  add_fields(*command, *options);
  command->get_option("--weights")->excludes(command->get_option("--data"));
  command->callback([options] {
    const auto result = run_train_features(*options);
    if (result.train_accuracy < 0) {
      print_json({{"weights", options->weights}, {"test_accuracy", result.test_accuracy}});
      fmt::print("{}: accuracy {:.1f} %\n", options->weights, 100 * result.test_accuracy);
      return;
    }
    print_json(
        {{"out", options->out},
         {"train_accuracy", result.train_accuracy},
         {"test_accuracy",
          result.test_accuracy >= 0 ? nlohmann::json(result.test_accuracy) : nlohmann::json()}});
    fmt::print("{}: accuracy {:.1f} % in training", options->out, 100 * result.train_accuracy);
    if (result.test_accuracy >= 0)
      fmt::print(", {:.1f} % on held-out images", 100 * result.test_accuracy);
    fmt::print("\n");
  });
}

}  // namespace uvic::app

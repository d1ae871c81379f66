#include "app/scoring/memorisation.h"

#include <fmt/format.h>

#include <cstdio>
#include <utility>

#include "app/runs/latent_space.h"
#include "app/scoring/extractors.h"
#include "app/scoring/kept_result.h"
#include "app/scoring/nearest_training.h"
#include "base/check.h"
#include "base/process.h"
#include "base/progress_line.h"
#include "data/formats/make_folder.h"
#include "data/formats/sha256.h"
#include "metrics/image_source.h"

namespace uvic::app {
namespace fs = std::filesystem;
using nlohmann::json;
namespace {

void check_neighbours(const json& kept) {
  const auto found = with_current_names(kept);
  for (const auto* key : {"images", "training_images", "median_distance"})
    base::require(found.at(key).is_number(), "{}: want a number", key);
}

}  // namespace

Memorisation::Memorisation(const RunConfig& training,
                           const data::Dataset* held_out,
                           fs::path folder)
    : training_(training), held_out_(held_out), folder_(std::move(folder)) {
  training_.dataset.image_size = image_size_of(training_.encoders, training_.model.input());
}

json Memorisation::of(const fs::path& samples, const std::string& name) {
  if (!images_) images_ = data::open_dataset(training_.data, training_.dataset);
  if (images_->format().is_latent) return json::object();  // there are no training images here
  formats::make_folder(folder_);
  const auto sheet = folder_ / (name + ".png");
  const json key = {{"samples", sample_identity(samples)},
                    {"training", images_->fingerprint()},
                    {"flip", training_.flip},
                    {"queries", kNearestQueries},
                    {"extractor", training_.score_extractor},
                    {"inception_sha256",
                     training_.inception.empty() ? "" : formats::sha256_file(training_.inception)},
                    {"held_out", held_out_ ? held_out_->fingerprint() : ""}};
  const auto file = folder_ / (name + ".json");
  if (!fs::exists(sheet)) fs::remove(file);  // half an answer
  auto found = with_current_names(kept_or_new(file, key, check_neighbours, [&] {
    base::say_progress("compare: nearest training images of " + name);
    load();
    const auto generated = metrics::open_images(samples.string(), training_.dataset);
    json value = features_->compare(*generated.images, kNearestQueries, sheet);
    if (held_out_)
      value["held_out_median_distance"] =
          features_->compare(*held_out_, kNearestQueries).at("median_distance");
    return value;
  }));
  found["sheet"] = sheet.string();
  return found;
}

void Memorisation::load() {
  if (features_) return;
  extractor_ = open_extractor({training_.score_extractor, {}, training_.inception},
                              base::choose_device(training_.device));
  features_ = std::make_unique<TrainingFeatures>(*images_, *extractor_, training_.flip);
}

}  // namespace uvic::app

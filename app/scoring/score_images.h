// How far images are from a reference, with what is needed to believe the number.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "app/scoring/fid_options.h"

namespace uvic::app {

/// What `uvic fid` prints, and its record.
///
/// `json`: "metrics" (a list of name, value, std or null, extrapolated or null, how; the Fréchet
/// distance first), "extractor", "extractor_sha256", "resize", "precision", "image_size" (the side
/// of the scored images; 0: several sizes or no squares), "images" and "reference" (source,
/// fingerprint, count, "sizes" as a list of width, height and count, "fit": what was done before
/// the extractor's own resize, ...), "samples" (samples.json of a folder of samples, or of the
/// run), "warnings", "elapsed_sec", "version", and of images "images_per_sec" and
/// "reference_images_per_sec": reading, resizing and the network together.
struct FidResult {
  std::string name;  ///< "FD (embedded)", "FID (inception-v3/pytorch-fid)"
  double value = 0;
  double std = 0;
  nlohmann::json json;
};

/// Scores options.images against options.ref, writes options.report/score.json and
/// options.save_stats and options.save_features if asked to. Progress and warnings go to stderr.
/// Without a reference it only makes statistics: value is NaN. `on_score`, if given, hears the
/// score before score.json is written. Several processes share the images of both sides; the first
/// has the result, the others return an empty one.
FidResult run_fid(const FidOptions& options,
                  const std::function<void(const FidResult&)>& on_score = {});

}  // namespace uvic::app

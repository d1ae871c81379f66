// One pass over images that gathers all that the metrics need.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/process_group.h"
#include "metrics/features.h"
#include "metrics/image_stream.h"
#include "metrics/statistics.h"

namespace uvic::metrics {

/// What to keep besides the statistics, which take the same memory for any number of images.
struct CollectOptions {
  bool features = false;      ///< every feature vector: KID, precision and recall
  bool spatial = false;       ///< statistics of the spatial features: sFID
  bool spatial_rows = false;  ///< with spatial: every such vector too, to be kept in a file
  bool logits = false;        ///< every vector of logits: Inception Score
  bool error_bars = false;    ///< statistics of each tenth of the images: jackknife
};

struct Collected {
  int64_t count = 0;
  SizeCounts sizes;  ///< of the images as they came; empty where they came from a file of features
  FeatureStatistics statistics;
  std::optional<FeatureStatistics> spatial;
  /// Statistics of all images but those of part k of ten (part_of in blocks.h); empty for fewer
  /// than 20 images.
  std::vector<FeatureStatistics> without_block;
  torch::Tensor features;      ///< float32 [N, D]
  torch::Tensor spatial_rows;  ///< float32 [N, S]
  torch::Tensor logits;        ///< float32 [N, K]
};

/// Reads the stream to its end; `progress`, if given, hears the number of images done after each
/// batch. The result is the same bit for bit however the stream is cut into batches. Throws
/// std::invalid_argument if the extractor lacks what is asked for, and what the stream throws.
Collected collect(const FeatureExtractor& extractor,
                  const BatchStream& stream,
                  const CollectOptions& options = {},
                  const std::function<void(int64_t)>& progress = {});

/// What several processes gather together: images by position, 0 .. count - 1.
struct SharedImages {
  /// The images of positions begin .. end - 1.
  std::function<BatchStream(int64_t begin, int64_t end)> open;
  int64_t count = 0;
  int64_t block = 64;  ///< images that a process takes at a time
};

/// The same with the images divided over the processes of `group`, block by block in turn. The rows
/// that the extractor gives are gathered in the order of positions: every process has the result
/// that one process has, bit for bit. Where a signal stops one process, all throw
/// base::StopRequested.
Collected collect_shared(base::ProcessGroup& group,
                         const FeatureExtractor& extractor,
                         const SharedImages& images,
                         const CollectOptions& options = {},
                         const std::function<void(int64_t)>& progress = {});

/// The same of activations already computed, as far as they go. Throws std::invalid_argument if
/// what is asked for is not there, or if they are not of the same number of images.
Collected collect_activations(const Activations& activations, const CollectOptions& options = {});

/// Throws std::invalid_argument, beginning with `what`, if the set lacks something of `needed`:
/// statistics from a file have no features.
void require_collected(const Collected& set, const CollectOptions& needed, const std::string& what);

}  // namespace uvic::metrics

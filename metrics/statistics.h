// Mean and covariance of feature vectors: streamed, merged, kept as .npz.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "base/torch.h"

namespace uvic::metrics {

/// The Gaussian that stands for a set of images.
struct FeatureStatistics {
  torch::Tensor mean;        ///< float64 [D]
  torch::Tensor covariance;  ///< float64 [D, D], divisor count - 1
  int64_t count = 0;         ///< images; 0 where a file does not say
  std::string
      provenance;  ///< JSON object: extractor, resize, source; empty where a file does not say
};

/// mean = sum x / n, covariance = sum (x - mean)(x - mean)^T / (n - 1), in one pass and float64.
///
/// Rows are summed in blocks of fixed size whatever the sizes that they arrive in, so that the
/// result is the same bit for bit for every batch size. Memory is O(D^2). Blocks are joined by
/// Chan, Golub and LeVeque 1983, "Algorithms for computing the sample variance", eq. 2.1.
class StatisticsAccumulator {
 public:
  explicit StatisticsAccumulator(int64_t dimensions);

  /// features [N, D], any floating dtype. Throws std::invalid_argument on another width and
  /// std::runtime_error on NaN or infinity, naming the row.
  void add(const torch::Tensor& features);

  /// As if the rows of `other` had been added after these (equal up to rounding).
  void merge(const StatisticsAccumulator& other);

  int64_t dimensions() const { return mean_.size(0); }
  int64_t count() const { return count_ + pending_rows_; }

  /// Throws std::runtime_error for fewer than two rows.
  FeatureStatistics finish() const;

 private:
  void join(const torch::Tensor& mean, const torch::Tensor& scatter, int64_t count);
  void flush();

  int64_t count_ = 0, pending_rows_ = 0;
  torch::Tensor mean_,
      scatter_;  // of the count_ rows in whole blocks; scatter = sum (x - mean)(x - mean)^T
  torch::Tensor pending_;  // [block, D], the first pending_rows_ are waiting
};

/// Statistics of an .npz under the names that recognise_arrays knows: `mu` [D] and `sigma` [D, D]
/// as pytorch-fid, ADM and TTUR write them, and others. Those written here add `count` and
/// `provenance` (JSON as bytes), which other tools leave alone. A covariance that is symmetric to
/// 1e-5 of its largest variance, as float32 leaves it, is made symmetric, (S + S^T) / 2; one of
/// float64 comes back to the bit. `path` may be PATH:NAME with the name of the mean. Throws
/// std::runtime_error naming the file if an array is missing, misshapen, not finite or not
/// symmetric.
FeatureStatistics read_statistics(const std::filesystem::path& path);

/// mu_s and sigma_s of ADM's reference batches, statistics of Inception's spatial features; nothing
/// where a file lacks them.
std::optional<FeatureStatistics> read_spatial_statistics(const std::filesystem::path& path);

std::map<std::string, torch::Tensor> statistics_arrays(const FeatureStatistics& statistics,
                                                       const std::string& provenance);
void write_statistics(const std::filesystem::path& path, const FeatureStatistics& statistics);

}  // namespace uvic::metrics

// A curve of any length in bounded memory: means and extremes of consecutive lines.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "app/watch/stats_line.h"

namespace uvic::app {

/// Of n lines, the last of which may be alone in its bucket: at most 2 `most` buckets of 2^k lines
/// each. For each number a bucket holds mean, lowest and highest, so that no peak is lost. Once
/// there are 2 `most` buckets, each two become one. Adding a line takes constant time on average.
class CurveBuckets {
 public:
  static constexpr size_t kMostNames = 64;  ///< further names are left out

  explicit CurveBuckets(size_t most) : most_(most) {}

  /// `offset`: where the line begins in its file.
  void add(const StatsLine& line, int64_t offset);

  int64_t lines() const { return lines_; }
  size_t size() const { return buckets_.size(); }

  /// {"lines": of the file, "width": lines a point, "images": [...], "values": {NAME: {"mean": [...],
  /// "low": [...], "high": [...]}}}, of at most `points` points with low <= images <= high. "low"
  /// and "high" are missing where each point is one line. A point's images are the middle of its
  /// lines'. Numbers have seven digits.
  nlohmann::json json(size_t points, double low, double high) const;

  /// The bytes of the file, from the first to the second, that hold all lines of low <= images <=
  /// high; nothing where no line is. An end of -1 is that of the file.
  std::optional<std::pair<int64_t, int64_t>> bytes_of(double low, double high) const;

 private:
  struct Sum {
    double sum = 0, low = 0, high = 0;
    int64_t count = 0;

    void add(double value);
    void add(const Sum& other);
  };
  struct Bucket {
    int64_t lines = 0, offset = 0;
    double first_images = 0, last_images = 0;
    std::vector<Sum> sums;  ///< by the number of their name; may be shorter

    void add(const Bucket& next);
  };

  size_t number_of(const std::string& name);
  void halve();
  std::vector<Bucket> grouped(size_t points, double low, double high) const;

  size_t most_;
  int64_t lines_ = 0, width_ = 1;
  std::vector<std::string> names_;
  std::vector<Bucket> buckets_;
};

}  // namespace uvic::app

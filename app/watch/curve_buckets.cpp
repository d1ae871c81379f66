#include "app/watch/curve_buckets.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace uvic::app {
namespace {

/// With seven digits: half as many bytes, and more than a screen shows.
double shortened(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.7g", value);
  return std::strtod(text, nullptr);
}

}  // namespace

void CurveBuckets::Sum::add(double value) {
  low = count ? std::min(low, value) : value;
  high = count ? std::max(high, value) : value;
  sum += value;
  ++count;
}

void CurveBuckets::Sum::add(const Sum& other) {
  if (other.count == 0) return;
  low = count ? std::min(low, other.low) : other.low;
  high = count ? std::max(high, other.high) : other.high;
  sum += other.sum;
  count += other.count;
}

void CurveBuckets::Bucket::add(const Bucket& next) {
  lines += next.lines;
  last_images = next.last_images;
  sums.resize(std::max(sums.size(), next.sums.size()));
  for (size_t i = 0; i < next.sums.size(); ++i) sums[i].add(next.sums[i]);
}

size_t CurveBuckets::number_of(const std::string& name) {
  const auto found = std::find(names_.begin(), names_.end(), name);
  if (found == names_.end() && names_.size() < kMostNames) {
    names_.push_back(name);
    return names_.size() - 1;
  }
  return static_cast<size_t>(found - names_.begin());
}

void CurveBuckets::add(const StatsLine& line, int64_t offset) {
  ++lines_;
  Bucket one;
  one.lines = 1;
  one.offset = offset;
  one.first_images = one.last_images = line.images_seen;
  for (const auto& [name, value] : line.values) {
    const size_t number = number_of(name);
    if (number >= kMostNames) continue;
    if (one.sums.size() <= number) one.sums.resize(number + 1);
    one.sums[number].add(value);
  }
  if (!buckets_.empty() && buckets_.back().lines < width_) return buckets_.back().add(one);
  if (buckets_.size() >= 2 * most_) halve();
  buckets_.push_back(std::move(one));
}

void CurveBuckets::halve() {
  for (size_t i = 0; i + 1 < buckets_.size(); i += 2) {
    buckets_[i].add(buckets_[i + 1]);
    if (i > 0) buckets_[i / 2] = std::move(buckets_[i]);
  }
  buckets_.resize(buckets_.size() / 2);
  width_ *= 2;
}

std::vector<CurveBuckets::Bucket> CurveBuckets::grouped(size_t points,
                                                        double low,
                                                        double high) const {
  std::vector<const Bucket*> inside;
  for (const auto& bucket : buckets_)
    if (bucket.last_images >= low && bucket.first_images <= high) inside.push_back(&bucket);
  const size_t group =
      std::max<size_t>(1, (inside.size() + points - 1) / std::max<size_t>(1, points));
  std::vector<Bucket> groups;
  for (size_t i = 0; i < inside.size(); ++i)
    i % group == 0 ? groups.push_back(*inside[i]) : groups.back().add(*inside[i]);
  return groups;
}

nlohmann::json CurveBuckets::json(size_t points, double low, double high) const {
  const auto groups = grouped(points, low, high);
  int64_t width = 1;
  auto images = nlohmann::json::array();
  for (const auto& group : groups) {
    width = std::max(width, group.lines);
    images.push_back((group.first_images + group.last_images) / 2);
  }
  auto values = nlohmann::json::object();
  for (size_t n = 0; n < names_.size(); ++n) {
    std::vector<nlohmann::json> means, lows, highs;
    for (const auto& group : groups) {
      const auto* sum = n < group.sums.size() && group.sums[n].count ? &group.sums[n] : nullptr;
      const auto put = [&](std::vector<nlohmann::json>& list, double value) {
        list.push_back(sum ? nlohmann::json(shortened(value)) : nlohmann::json());
      };
      put(means, sum ? sum->sum / static_cast<double>(sum->count) : 0);
      if (width > 1) put(lows, sum ? sum->low : 0), put(highs, sum ? sum->high : 0);
    }
    auto& value = values[names_[n]] = {{"mean", std::move(means)}};
    if (width > 1) value["low"] = std::move(lows), value["high"] = std::move(highs);
  }
  return {{"lines", lines_},
          {"width", width},
          {"images", std::move(images)},
          {"values", std::move(values)}};
}

std::optional<std::pair<int64_t, int64_t>> CurveBuckets::bytes_of(double low, double high) const {
  std::optional<std::pair<int64_t, int64_t>> bytes;
  for (size_t i = 0; i < buckets_.size(); ++i) {
    if (buckets_[i].last_images < low || buckets_[i].first_images > high) continue;
    if (!bytes) bytes = {buckets_[i].offset, 0};
    bytes->second = i + 1 < buckets_.size() ? buckets_[i + 1].offset : -1;
  }
  return bytes;
}

}  // namespace uvic::app

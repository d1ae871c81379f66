#include "app/watch/stats_line.h"

#include <cmath>
#include <nlohmann/json.hpp>

namespace uvic::app {
namespace {

/// Collects the numbers of the outermost object.
class NumberCollector : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit NumberCollector(StatsLine& line) : line_(line) {}

  bool has_images() const { return has_images_; }

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t value) override {
    return take(static_cast<double>(value), true);
  }
  bool number_unsigned(number_unsigned_t value) override {
    return take(static_cast<double>(value), true);
  }
  bool number_float(number_float_t value, const string_t&) override { return take(value, false); }
  bool string(string_t& value) override {
    if (depth_ == 1 && key_ == "distance_name" && value.size() <= kLongestName)
      line_.distance_name = value;
    return true;
  }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return ++depth_ <= kDeepest; }
  bool key(string_t& value) override {
    if (depth_ == 1) key_ = value;
    return true;
  }
  bool end_object() override { return --depth_, true; }
  // An array as the outermost value holds no keys.
  bool start_array(std::size_t) override { return depth_ > 0 && ++depth_ <= kDeepest; }
  bool end_array() override { return --depth_, true; }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override {
    return false;
  }

 private:
  static constexpr int kDeepest = 64;
  static constexpr size_t kLongestName = 64, kMostValues = 256;

  bool take(double value, bool is_whole) {
    if (depth_ == 0) return false;
    if (depth_ > 1 || !std::isfinite(value)) return true;
    if (key_ == "images_seen") {
      has_images_ = is_whole && value >= 0;
      line_.images_seen = value;
    } else if (key_.size() <= kLongestName && line_.values.size() < kMostValues) {
      line_.values.emplace_back(key_, value);
    }
    return true;
  }

  StatsLine& line_;
  int depth_ = 0;
  std::string key_;
  bool has_images_ = false;
};

}  // namespace

const double* StatsLine::find(std::string_view name) const {
  for (const auto& [key, value] : values)
    if (key == name) return &value;
  return nullptr;
}

std::optional<StatsLine> parse_stats_line(std::string_view text) {
  StatsLine line;
  NumberCollector collector(line);
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &collector) || !collector.has_images())
    return std::nullopt;
  return line;
}

}  // namespace uvic::app

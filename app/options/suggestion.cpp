#include "app/options/suggestion.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace uvic::app {
namespace {

size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, change});
    }
  }
  return row.back();
}

}  // namespace

std::string nearest(const std::string& word, const std::vector<std::string>& candidates) {
  std::string best;
  size_t best_distance = std::max<size_t>(2, word.size() / 3) + 1;
  const auto last_part = [](const std::string& s) { return s.substr(s.rfind('.') + 1); };
  for (const auto& candidate : candidates) {
    size_t distance = edit_distance(word, candidate);
    if (word.find('.') == std::string::npos)
      distance = std::min(distance, edit_distance(word, last_part(candidate)) + 1);
    // a known key in the wrong section
    if (last_part(word) == last_part(candidate)) distance = std::min<size_t>(distance, 1);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

std::string suggestion(const std::string& near, const std::string& otherwise) {
  return near.empty() ? otherwise : "; did you mean " + near + "?";
}

}  // namespace uvic::app

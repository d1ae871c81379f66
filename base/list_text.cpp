#include "base/list_text.h"

#include <charconv>
#include <set>
#include <sstream>
#include <system_error>

#include "base/check.h"

namespace uvic::base {

std::vector<std::string> list_items(const std::string& text) {
  std::vector<std::string> items;
  if (text.empty()) return items;
  std::istringstream list(text + ",");  // so that an empty last item is read too
  for (std::string item; std::getline(list, item, ',');) items.push_back(item);
  return items;
}

bool has_leading_zero(const std::string& word) { return word.size() > 1 && word[0] == '0'; }

std::vector<int64_t> parse_ranges(const std::string& option,
                                  const std::string& text,
                                  int64_t count,
                                  const std::string& wanted) {
  const auto number = [&](const std::string& word) {
    int64_t value = -1;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    require(!word.empty() && word[0] != '-' && !has_leading_zero(word) && error == std::errc() &&
                end == word.data() + word.size(),
            "{} {}: {}",
            option,
            text,
            wanted);
    require(
        value < count, "{} {}: {} does not exist; the last is {}", option, text, value, count - 1);
    return value;
  };
  std::set<int64_t> numbers;
  for (const auto& item : list_items(text)) {
    const auto dash = item.find('-', 1);
    const auto first = number(item.substr(0, dash));
    const auto last = dash == std::string::npos ? first : number(item.substr(dash + 1));
    require(first <= last, "{} {}: range {} runs backwards", option, text, item);
    for (int64_t i = first; i <= last; ++i) numbers.insert(i);
  }
  require(!numbers.empty(), "{} {}: {}", option, text, wanted);
  return {numbers.begin(), numbers.end()};
}

}  // namespace uvic::base

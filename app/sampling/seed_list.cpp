#include "app/sampling/seed_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <stdexcept>

#include "base/list_text.h"

namespace uvic::app {
namespace {

constexpr uint64_t kSeedsEnd = uint64_t{1} << 32;  // LibTorch's CPU generator takes 32 bits

std::invalid_argument bad(const std::string& text, const std::string& why) {
  return std::invalid_argument(
      fmt::format("--seeds {}{}: {}", text.substr(0, 100), text.size() > 100 ? "..." : "", why));
}

uint64_t parse_number(const std::string& text, const std::string& word) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (word.empty() || base::has_leading_zero(word) || error != std::errc() ||
      end != word.data() + word.size())
    throw bad(text, "wants numbers and ranges, such as 0-63,100");
  return value;
}

}  // namespace

void SeedSet::insert(SeedRange range) {
  auto next = ranges_.upper_bound(range.first);
  if (next != ranges_.begin()) {
    const auto before = std::prev(next);
    if (before->second + 1 >= range.first) {  // overlaps or touches
      range.first = before->first;
      range.last = std::max(range.last, before->second);
      ranges_.erase(before);
    }
  }
  while (next != ranges_.end() && next->first <= range.last + 1) {
    range.last = std::max(range.last, next->second);
    next = ranges_.erase(next);
  }
  ranges_.emplace(range.first, range.last);
}

void SeedSet::erase(SeedRange range) {
  auto next = ranges_.upper_bound(range.first);
  if (next != ranges_.begin() && std::prev(next)->second >= range.first) --next;
  while (next != ranges_.end() && next->first <= range.last) {
    const SeedRange old{next->first, next->second};
    next = ranges_.erase(next);
    if (old.first < range.first) ranges_.emplace(old.first, range.first - 1);
    if (old.last > range.last) ranges_.emplace(range.last + 1, old.last);
  }
}

void SeedSet::insert_all(const SeedSet& other) {
  for (const auto& [first, last] : other.ranges_) insert({first, last});
}

void SeedSet::erase_all(const SeedSet& other) {
  for (const auto& [first, last] : other.ranges_) erase({first, last});
}

SeedSet SeedSet::intersection(const SeedSet& other) const {
  SeedSet both;
  if (empty() || other.empty()) return both;
  // Not from the beginning: `other` is often a single range.
  auto a = ranges_.upper_bound(other.first()), b = other.ranges_.begin();
  if (a != ranges_.begin() && std::prev(a)->second >= other.first()) --a;
  while (a != ranges_.end() && b != other.ranges_.end()) {
    const uint64_t first = std::max(a->first, b->first), last = std::min(a->second, b->second);
    if (first <= last) both.ranges_.emplace_hint(both.ranges_.end(), first, last);
    a->second < b->second ? ++a : ++b;
  }
  return both;
}

bool SeedSet::contains(uint64_t seed) const {
  const auto next = ranges_.upper_bound(seed);
  return next != ranges_.begin() && std::prev(next)->second >= seed;
}

uint64_t SeedSet::size() const {
  uint64_t count = 0;
  for (const auto& [first, last] : ranges_) count += last - first + 1;
  return count;
}

std::vector<SeedRange> SeedSet::ranges() const {
  std::vector<SeedRange> ranges;
  for (const auto& [first, last] : ranges_) ranges.push_back({first, last});
  return ranges;
}

std::string SeedSet::text() const {
  std::string text;
  for (const auto& [first, last] : ranges_) {
    if (!text.empty()) text += ',';
    text += first == last ? fmt::format("{}", first) : fmt::format("{}-{}", first, last);
  }
  return text;
}

void SeedList::append(SeedRange range) {
  ranges_.push_back(range);
  begins_.push_back(size_);
  size_ += range.last - range.first + 1;
}

SeedList SeedList::parse(const std::string& text) {
  SeedList list;
  SeedSet known;
  for (const auto& word : base::list_items(text)) {
    const auto dash = word.find('-');
    SeedRange range{parse_number(text, word.substr(0, dash)), 0};
    range.last =
        dash == std::string::npos ? range.first : parse_number(text, word.substr(dash + 1));
    if (range.last < range.first) throw bad(text, fmt::format("{} runs backwards", word));
    if (range.last >= kSeedsEnd) throw bad(text, fmt::format("seeds end at {}", kSeedsEnd - 1));
    SeedSet fresh;
    fresh.insert(range);
    fresh.erase_all(known.intersection(fresh));
    for (const auto& part : fresh.ranges()) list.append(part);
    known.insert(range);
  }
  if (list.empty()) throw bad(text, "wants numbers and ranges, such as 0-63,100");
  return list;
}

SeedList SeedList::first_numbers(uint64_t count) {
  SeedList list;
  if (count > 0) list.append({0, count - 1});
  return list;
}

std::vector<uint64_t> SeedList::slice(uint64_t begin, uint64_t end) const {
  end = std::min(end, size_);
  std::vector<uint64_t> seeds;
  if (begin >= end) return seeds;
  seeds.reserve(static_cast<size_t>(end - begin));
  auto at = static_cast<size_t>(std::upper_bound(begins_.begin(), begins_.end(), begin) -
                                begins_.begin() - 1);
  for (uint64_t i = begin; i < end; ++i) {
    while (i - begins_[at] > ranges_[at].last - ranges_[at].first) ++at;
    seeds.push_back(ranges_[at].first + (i - begins_[at]));
  }
  return seeds;
}

SeedList SeedList::without(const SeedSet& set) const {
  SeedList rest;
  for (const auto& range : ranges_) {
    SeedSet part;
    part.insert(range);
    part.erase_all(set.intersection(part));
    for (const auto& piece : part.ranges()) rest.append(piece);
  }
  return rest;
}

SeedList SeedList::part(uint64_t begin, uint64_t end) const {
  SeedList list;
  for (size_t i = 0; i < ranges_.size(); ++i) {
    const auto& [first, last] = ranges_[i];
    const auto at = begins_[i], size = last - first + 1;
    const auto from = std::max(begin, at), to = std::min(end, at + size);
    if (from < to) list.append({first + (from - at), first + (to - at) - 1});
  }
  return list;
}

std::string SeedList::text() const {
  std::string text;
  for (const auto& [first, last] : ranges_)
    text += fmt::format(
        "{}{}{}", text.empty() ? "" : ",", first, first == last ? "" : fmt::format("-{}", last));
  return text;
}

SeedSet SeedList::set() const {
  SeedSet set;
  for (const auto& range : ranges_) set.insert(range);
  return set;
}

}  // namespace uvic::app

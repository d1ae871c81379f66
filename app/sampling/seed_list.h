// Seeds as ranges: a hundred million of them take as much memory as one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace uvic::app {

/// first, first + 1, ..., last.
struct SeedRange {
  uint64_t first, last;
};

/// A set of seeds. Time and memory depend on the number of its gaps.
class SeedSet {
 public:
  void insert(SeedRange range);
  void insert(uint64_t seed) { insert({seed, seed}); }
  void erase(SeedRange range);
  void insert_all(const SeedSet& other);
  void erase_all(const SeedSet& other);
  /// Those that are in both.
  SeedSet intersection(const SeedSet& other) const;

  bool contains(uint64_t seed) const;
  uint64_t size() const;
  bool empty() const { return ranges_.empty(); }
  uint64_t first() const { return ranges_.begin()->first; }  ///< the least; the set is not empty
  std::vector<SeedRange> ranges() const;                     ///< ascending, with gaps between them

  /// 0 1 2 3 7 -> "0-3,7".
  std::string text() const;

 private:
  std::map<uint64_t, uint64_t> ranges_;  // first -> last; neither overlapping nor adjacent
};

/// Seeds in an order, each once.
class SeedList {
 public:
  SeedList() = default;

  /// "0-3,7" -> 0 1 2 3 7, in the order given; what is named again is left out. Throws
  /// std::invalid_argument that names --seeds.
  static SeedList parse(const std::string& text);
  static SeedList first_numbers(uint64_t count);  ///< 0 ... count - 1

  uint64_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  /// Those at positions begin .. end - 1, at most to the end of the list.
  std::vector<uint64_t> slice(uint64_t begin, uint64_t end) const;
  /// The list without those of the set.
  SeedList without(const SeedSet& set) const;
  SeedSet set() const;
  /// Those at positions begin .. end - 1 as a list.
  SeedList part(uint64_t begin, uint64_t end) const;
  /// In its order; parse() reads it back, unless it is empty.
  std::string text() const;

 private:
  void append(SeedRange range);

  std::vector<SeedRange> ranges_;
  std::vector<uint64_t> begins_;  // positions at which the ranges begin
  uint64_t size_ = 0;
};

}  // namespace uvic::app

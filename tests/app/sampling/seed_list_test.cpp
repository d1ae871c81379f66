#include "app/sampling/seed_list.h"

#include <random>
#include <set>
#include <stdexcept>

#include "tests/support/catch.h"

using namespace uvic::app;

namespace {

std::vector<uint64_t> all(const SeedList& list) { return list.slice(0, list.size()); }

std::set<uint64_t> all(const SeedSet& set) {
  std::set<uint64_t> seeds;
  for (const auto& range : set.ranges())
    for (uint64_t seed = range.first; seed <= range.last; ++seed) seeds.insert(seed);
  return seeds;
}

}  // namespace

TEST_CASE("seeds are numbers and ranges, each once, in their order", "[seeds]") {
  CHECK(all(SeedList::parse("0-3,100,2")) == std::vector<uint64_t>{0, 1, 2, 3, 100});
  CHECK(all(SeedList::parse("5-6,4-8,0")) == std::vector<uint64_t>{5, 6, 4, 7, 8, 0});
  for (const auto* bad : {"", "x", "3-1", "1,,2", "-", "1-", "010", "0-07"})
    CHECK_THROWS_AS(SeedList::parse(bad), std::invalid_argument);
  // LibTorch's generator keeps 32 bits: 4294967297 would be image 1 again.
  CHECK(all(SeedList::parse("4294967295")) == std::vector<uint64_t>{4294967295});
  for (const auto* bad : {"4294967296", "18446744073709551615"})
    CHECK_THROWS_WITH(SeedList::parse(bad), Catch::Contains("end at 4294967295"));
}

TEST_CASE("all seeds there are cost no more than one", "[seeds]") {
  const auto list = SeedList::parse("10-4294967295,0-9");
  CHECK(list.size() == uint64_t{1} << 32);
  CHECK(list.slice(4294967284, 4294967290) ==
        std::vector<uint64_t>{4294967294, 4294967295, 0, 1, 2, 3});
  CHECK(list.slice(list.size(), list.size() + 5).empty());
  CHECK(list.set().text() == "0-4294967295");
  SeedSet some;
  some.insert({20, 4294967290});
  CHECK(list.without(some).size() == 25);
  CHECK(list.without(list.set()).empty());
}

TEST_CASE("a list of every other seed is handled in the time of a list", "[seeds]") {
  std::string text = "0";
  for (int i = 2; i < 200'000; i += 2) text += "," + std::to_string(i);
  const auto list = SeedList::parse(text);
  CHECK(list.size() == 100'000);
  CHECK(list.without(list.set()).empty());
  CHECK(list.set().text() == text);
}

TEST_CASE("sets of seeds agree with std::set whatever is done to them", "[seeds]") {
  std::mt19937 random(7);
  const auto range = [&] {
    const uint64_t first = random() % 60;
    return SeedRange{first, first + random() % 9};
  };
  SeedSet a, b;
  std::set<uint64_t> plain_a, plain_b;
  for (int i = 0; i < 3000; ++i) {
    auto& set = i % 2 ? a : b;
    auto& plain = i % 2 ? plain_a : plain_b;
    const auto r = range();
    const bool inserts = random() % 2;
    inserts ? set.insert(r) : set.erase(r);
    for (uint64_t seed = r.first; seed <= r.last; ++seed)
      inserts ? (void)plain.insert(seed) : (void)plain.erase(seed);
    REQUIRE(all(set) == plain);
    REQUIRE(set.size() == plain.size());
    std::set<uint64_t> both;
    for (const auto seed : plain_a)
      if (plain_b.count(seed)) both.insert(seed);
    REQUIRE(all(a.intersection(b)) == both);
    for (size_t k = 1; k < set.ranges().size(); ++k)  // neither overlapping nor adjacent
      REQUIRE(set.ranges()[k].first > set.ranges()[k - 1].last + 1);
    REQUIRE(set.contains(r.first) == inserts);
  }
}

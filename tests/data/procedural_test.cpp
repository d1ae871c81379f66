#include "data/procedural.h"

#include <array>
#include <set>

#include "data/formats/sha256.h"
#include "tests/data/pictures.h"
#include "tests/support/catch.h"

using namespace uvic;
using data::ProceduralDataset;
using test::read_picture;

namespace {

std::string digest(const ProceduralDataset& dataset) {
  formats::Sha256 hash;
  for (int64_t i = 0; i < dataset.size(); ++i) {
    const auto picture = read_picture(dataset, i);
    hash.update(picture.planes.data(), picture.planes.size());
  }
  return hash.hex();
}

}  // namespace

TEST_CASE("procedural: every machine draws the same bytes", "[procedural]") {
  // A change of these is a change of the dataset: raise kVersion in procedural.cpp with it.
  CHECK(digest({1000, 32, 0}) ==
        "f09cefc9dfb6377ba8e439b0c2da75b55438185c2b1394edb805f7240787bfe9");
  // A side that is no multiple of a vector.
  CHECK(digest({200, 67, 7}) == "530c26aafc2d6c1293debf2fe191a78f8da6b2972c9b715652dd772b72796e4e");
}

TEST_CASE("procedural: classes take turns and have ten names", "[procedural]") {
  const ProceduralDataset dataset(40, 16, 3);
  const std::set<std::string> names(dataset.class_names().begin(), dataset.class_names().end());
  CHECK(names.size() == 10);
  for (int64_t i = 0; i < 40; ++i) CHECK(read_picture(dataset, i).label == i % 10);
}

TEST_CASE("procedural: no picture comes twice, within a seed or in another", "[procedural]") {
  std::set<std::vector<uint8_t>> seen;
  for (const uint64_t seed : {0u, 1u, 2u, 1u << 31}) {
    const ProceduralDataset dataset(2000, 16, seed);
    for (int64_t i = 0; i < dataset.size(); ++i) {
      CAPTURE(seed, i);
      CHECK(seen.insert(read_picture(dataset, i).planes).second);
    }
  }
}

TEST_CASE("procedural: a longer set begins with the shorter one", "[procedural]") {
  const ProceduralDataset little(10, 32, 5), large(1000000, 32, 5);
  CHECK(read_picture(little, 9) == read_picture(large, 9));
  CHECK(read_picture(large, 999999).label == 9);
}

TEST_CASE("procedural: a shape stands out from its ground", "[procedural]") {
  // The corners are ground and, but for ring and flower, the centre of mass of a shape is shape:
  // over a class the mean distance of colours between the picture's middle and its corners must be
  // large.
  const ProceduralDataset dataset(1000, 32, 11);
  std::array<double, 10> contrast{};
  for (int64_t i = 0; i < dataset.size(); ++i) {
    const auto [label, planes] = read_picture(dataset, i);
    for (int c = 0; c < 3; ++c) {
      const int middle = planes[c * 1024 + 16 * 32 + 16], corner = planes[c * 1024];
      contrast[label] += std::abs(middle - corner) / 100.0;
    }
  }
  for (const size_t label : {0, 1, 2, 3, 4, 6, 8}) {
    CAPTURE(dataset.class_names()[label]);
    CHECK(contrast[label] > 150);
  }
}

TEST_CASE("procedural: any size is drawn, from one pixel on", "[procedural]") {
  for (const int64_t side : {1, 2, 31, 64, 65, 200}) {
    const ProceduralDataset dataset(10, side, 0);
    for (int64_t i = 0; i < 10; ++i)
      CHECK(read_picture(dataset, i).planes.size() == 3u * side * side);
  }
}

TEST_CASE("procedural: a picture shows the same scene at any size", "[procedural]") {
  const ProceduralDataset small(50, 32, 0), large(50, 96, 0);
  double difference = 0;
  for (int64_t i = 0; i < 50; ++i) {
    const auto a = read_picture(small, i).planes, b = read_picture(large, i).planes;
    for (int y = 0; y < 32; ++y)
      for (int x = 0; x < 32; ++x) {
        int sum = 0;  // the 3 x 3 pixels under one of the small picture
        for (int k = 0; k < 9; ++k) sum += b[(3 * y + k / 3) * 96 + 3 * x + k % 3];
        difference += std::abs(a[y * 32 + x] - sum / 9.0);
      }
  }
  CHECK(difference / (50 * 1024) < 2);  // levels of 255: antialiasing does what averaging does
}

TEST_CASE("procedural: bad arguments are refused by name", "[procedural]") {
  CHECK_THROWS_AS(ProceduralDataset(0, 32, 0), std::invalid_argument);
  CHECK_THROWS_AS(ProceduralDataset(10, 0, 0), std::invalid_argument);
  const ProceduralDataset dataset(10, 8, 0);
  std::vector<uint8_t> planes(3 * 64);
  CHECK_THROWS_AS(dataset.read(10, planes.data()), std::out_of_range);
  CHECK_THROWS_AS(dataset.read(-1, planes.data()), std::out_of_range);
}

TEST_CASE("procedural: the fingerprint tells seed, length and size", "[procedural]") {
  const std::set<std::string> prints = {ProceduralDataset(10, 8, 0).fingerprint(),
                                        ProceduralDataset(10, 8, 1).fingerprint(),
                                        ProceduralDataset(11, 8, 0).fingerprint(),
                                        ProceduralDataset(10, 9, 0).fingerprint()};
  CHECK(prints.size() == 4);
  CHECK(ProceduralDataset(10, 8, 0).fingerprint() == ProceduralDataset(10, 8, 0).fingerprint());
}

#include "data/loader.h"

#include <atomic>
#include <numeric>
#include <set>

#include "base/thread_loop.h"
#include "data/permutation.h"
#include "data/procedural.h"
#include "tests/data/pictures.h"
#include "tests/support/catch.h"

using namespace uvic;
using data::Batch;
using data::Loader;
using data::LoaderOptions;
using data::Permutation;

namespace {

/// A set whose pictures tell their own index: red is index mod 256, green index / 256; one of them
/// may be broken. The left column of blue is 1, the rest 0, so that a flip shows.
class Numbers : public data::Dataset {
 public:
  explicit Numbers(int64_t size, int64_t broken = -1) : size_(size), broken_(broken) {}
  int64_t size() const override { return size_; }
  int64_t image_size() const override { return 2; }
  const std::vector<std::string>& class_names() const override { return names_; }
  std::string describe() const override { return "numbers"; }
  std::string fingerprint() const override { return "numbers"; }
  int64_t read(int64_t index, uint8_t* planes) const override {
    ++reads;
    if (index == broken_) throw std::runtime_error("folder/broken.png: can't decode the picture");
    std::fill_n(planes, 4, static_cast<uint8_t>(index % 256));
    std::fill_n(planes + 4, 4, static_cast<uint8_t>(index / 256));
    for (int i = 0; i < 4; ++i) planes[8 + i] = i % 2 == 0;
    return index % 7;
  }
  mutable std::atomic<int64_t> reads{0};

 private:
  int64_t size_, broken_;
  std::vector<std::string> names_;
};

std::vector<int64_t> indices(const Batch& batch) {
  std::vector<int64_t> result;
  for (int64_t i = 0; i < batch.images.size(0); ++i)
    result.push_back(batch.images[i][0][0][0].item<int64_t>() +
                     256 * batch.images[i][1][0][0].item<int64_t>());
  return result;
}

bool is_flipped(const Batch& batch, int64_t i) {
  return batch.images[i][2][0][0].item<int64_t>() == 0;
}

LoaderOptions options(int64_t batch_size, uint64_t seed = 0, int64_t workers = 0) {
  LoaderOptions result;
  result.batch_size = batch_size;
  result.seed = seed;
  result.workers = workers;
  return result;
}

Batch joined(const std::vector<Batch>& batches) {
  std::vector<torch::Tensor> images, labels, positions;
  for (const auto& batch : batches) {
    images.push_back(batch.images);
    labels.push_back(batch.labels);
    positions.push_back(batch.positions);
  }
  return {torch::cat(images), torch::cat(labels), torch::cat(positions)};
}

/// `count` images from position `from` on, in batches of `batch_size`.
Batch stream(const data::Dataset& dataset, LoaderOptions options, int64_t from, int64_t count) {
  Loader loader(dataset, options, from);
  std::vector<Batch> batches;
  for (int64_t seen = 0; seen < count; seen += options.batch_size) batches.push_back(loader.next());
  return joined(batches).slice(0, count);
}

void check_equal(const Batch& a, const Batch& b) {
  CHECK(torch::equal(a.images, b.images));
  CHECK(torch::equal(a.labels, b.labels));
  CHECK(torch::equal(a.positions, b.positions));
}

}  // namespace

TEST_CASE("permutation: every element comes once, at any length", "[permutation]") {
  for (const int64_t n : {1, 2, 3, 4, 5, 7, 8, 9, 100, 1000, 1024, 1025, 50000}) {
    CAPTURE(n);
    const Permutation order(n, 42);
    std::vector<bool> seen(n);
    for (int64_t i = 0; i < n; ++i) {
      const int64_t at = order(i);
      REQUIRE(at >= 0);
      REQUIRE(at < n);
      REQUIRE_FALSE(seen[at]);
      seen[at] = true;
    }
  }
}

TEST_CASE("permutation: places are uniform over keys", "[permutation]") {
  // chi^2 of where element 0 of 10 falls, 9 degrees of freedom: 99.9 % of fair shuffles lie
  // below 27.9.
  for (const int64_t position : {0, 5, 9}) {
    std::vector<int> count(10);
    for (uint64_t key = 0; key < 10000; ++key) ++count[Permutation(10, key)(position)];
    double chi2 = 0;
    for (const int c : count) chi2 += (c - 1000.0) * (c - 1000.0) / 1000.0;
    CHECK(chi2 < 27.9);
  }
}

TEST_CASE("permutation: neighbours part, and keys give unrelated orders", "[permutation]") {
  const int64_t n = 10000;
  const Permutation a(n, 1), b(n, 2);
  int64_t equal = 0, adjacent = 0;
  for (int64_t i = 0; i < n; ++i) {
    equal += a(i) == b(i);
    if (i + 1 < n) adjacent += std::abs(a(i) - a(i + 1)) == 1;
  }
  CHECK(equal < 10);     // 1 expected
  CHECK(adjacent < 15);  // 2 expected
}

TEST_CASE("permutation: sizes out of range are refused", "[permutation]") {
  CHECK_THROWS_AS(Permutation(0, 0), std::invalid_argument);
  CHECK_THROWS_AS(Permutation((int64_t{1} << 62) + 1, 0), std::invalid_argument);
  const Permutation huge(int64_t{1} << 62, 5);
  CHECK(huge(123456789) != huge(123456790));
}

TEST_CASE("loader: an epoch holds every picture once, in another order each time", "[loader]") {
  const Numbers dataset(1000);
  const auto first = indices(stream(dataset, options(100), 0, 1000));
  const auto second = indices(stream(dataset, options(100), 1000, 1000));
  CHECK(std::set<int64_t>(first.begin(), first.end()).size() == 1000);
  CHECK(std::set<int64_t>(second.begin(), second.end()).size() == 1000);
  CHECK(first != second);
  CHECK(first != indices(stream(dataset, options(100, 1), 0, 1000)));
}

TEST_CASE("loader: labels belong to their pictures", "[loader]") {
  const Numbers dataset(1000);
  const auto batch = stream(dataset, options(100), 0, 1000);
  const auto at = indices(batch);
  for (int64_t i = 0; i < 1000; ++i) REQUIRE(batch.labels[i].item<int64_t>() == at[i] % 7);
  CHECK(batch.images.dtype() == torch::kUInt8);
  CHECK(batch.images.sizes() == torch::IntArrayRef({1000, 3, 2, 2}));
}

TEST_CASE("loader: the image at a place can be named", "[loader]") {
  const Numbers dataset(100);
  const auto at = indices(stream(dataset, options(10, 7), 0, 250));
  for (int64_t i = 0; i < 250; ++i) CHECK(data::image_at(100, 7, i) == at[static_cast<size_t>(i)]);
}

TEST_CASE("loader: batches do not depend on the number of workers", "[loader]") {
  const data::ProceduralDataset dataset(777, 16, 0);
  const auto expected = stream(dataset, options(50, 9, 0), 30, 1000);
  for (const int64_t workers : {1, 2, 7}) {
    CAPTURE(workers);
    check_equal(stream(dataset, options(50, 9, workers), 30, 1000), expected);
  }
}

TEST_CASE("loader: a stream goes on from any picture, at any batch size", "[loader]") {
  const Numbers dataset(97);  // batches run across the ends of epochs
  const auto whole = stream(dataset, options(10), 0, 500);
  for (const int64_t from : {1, 10, 96, 97, 98, 250}) {
    CAPTURE(from);
    check_equal(stream(dataset, options(13, 0, 2), from, 200), whole.slice(from, from + 200));
  }
}

TEST_CASE("loader: ranks' batches side by side are the batch of one", "[loader]") {
  const Numbers dataset(97);
  const int64_t size = GENERATE(12, 13, 3);
  Loader one(dataset, options(size));
  std::vector<std::unique_ptr<Loader>> ranks;
  for (int64_t rank = 0; rank < 3; ++rank) {
    auto sharded = options(size, 0, 1);
    sharded.rank = rank, sharded.world = 3;
    ranks.push_back(std::make_unique<Loader>(dataset, sharded));
  }
  for (int step = 0; step < 20; ++step) {
    std::vector<Batch> batches;
    for (auto& rank : ranks) {
      batches.push_back(rank->next());
      CHECK(std::abs(batches.back().size() - size / 3) <= 1);
    }
    check_equal(joined(batches), one.next());
  }
  CHECK(one.images_seen() == 20 * size);
  CHECK(ranks[2]->images_seen() == 20 * size);
}

TEST_CASE(
    "loader: the other example of a pair is the one at its position, wherever batches are cut",
    "[loader]") {
  const Numbers dataset(30);
  auto of_one = options(64);
  const auto all = stream(dataset, of_one, 0, 64);
  const auto check_others = [&](const Batch& batch) {
    for (int64_t i = 0; i < batch.size(); ++i) {
      const int64_t other = batch.positions[i].item<int64_t>() ^ 1;
      CHECK(torch::equal(batch.other_images[i], all.images[other]));
      CHECK(batch.other_labels[i].item<int64_t>() == all.labels[other].item<int64_t>());
    }
  };
  for (const int64_t from : {0, 5})
    for (const int64_t world : {1, 3})
      for (int64_t rank = 0; rank < world; ++rank) {
        auto part = options(11);
        part.world = world, part.rank = rank, part.others = true;
        Loader loader(dataset, part, from);
        CAPTURE(from, world, rank);
        check_others(loader.next());
        check_others(loader.next().slice(1, 3));
      }
  CHECK_FALSE(all.other_images.defined());
  // Within a batch nothing is read twice.
  auto part = options(10);
  part.others = true;
  const int64_t before = dataset.reads;
  Loader(dataset, part).next();
  CHECK(dataset.reads - before == 10);
}

TEST_CASE("loader: half of the pictures are flipped, anew in each epoch", "[loader]") {
  const Numbers dataset(1000);
  const auto a = stream(dataset, options(100), 0, 1000);
  const auto b = stream(dataset, options(100), 1000, 1000);
  std::vector<bool> flipped_a(1000), flipped_b(1000);
  for (int64_t i = 0; i < 1000; ++i) {
    flipped_a[i] = is_flipped(a, i);
    flipped_b[i] = is_flipped(b, i);
  }
  const auto count = std::count(flipped_a.begin(), flipped_a.end(), true);
  CHECK(count > 420);  // 500 +- 5 standard deviations of 15.8
  CHECK(count < 580);
  CHECK(flipped_a != flipped_b);

  auto straight = options(100);
  straight.flip = false;
  const auto c = stream(dataset, straight, 0, 1000);
  CHECK(indices(c) == indices(a));
  for (int64_t i = 0; i < 1000; ++i) REQUIRE_FALSE(is_flipped(c, i));
}

TEST_CASE("loader: a set smaller than a batch comes round within it", "[loader]") {
  const Numbers dataset(3);
  const auto at = indices(stream(dataset, options(30), 0, 30));
  for (const int64_t i : {0, 1, 2}) CHECK(std::count(at.begin(), at.end(), i) == 10);
}

TEST_CASE("loader: an unreadable picture ends the run in its own batch, by name", "[loader]") {
  const Numbers good(100), broken(100, 17);
  const auto order = indices(stream(good, options(10), 0, 100));
  const auto at = std::find(order.begin(), order.end(), 17) - order.begin();
  for (const int64_t workers : {0, 1, 3}) {
    CAPTURE(workers);
    Loader loader(broken, options(10, 0, workers));
    for (int64_t batch = 0; batch < at / 10; ++batch) CHECK_NOTHROW(loader.next());
    CHECK_THROWS_WITH(loader.next(), test::holds("folder/broken.png"));
    CHECK_THROWS_WITH(loader.next(), test::holds("folder/broken.png"));
    CHECK(loader.images_seen() == at / 10 * 10);
  }
}

TEST_CASE("loader: workers stop ahead of a reader that does not come, and end with it",
          "[loader]") {
  const Numbers dataset(1000);
  for (int round = 0; round < 20; ++round) {
    Loader loader(dataset, options(10, 0, 3));
    if (round % 2) loader.next();
  }
  CHECK(dataset.reads <= 20 * 10 * 7 + 10 * 10);  // two batches a worker, and the one taken
}

TEST_CASE("loader: options out of range are refused", "[loader]") {
  const Numbers dataset(10);
  auto bad = options(2);
  bad.world = 3;
  CHECK_THROWS_AS(Loader(dataset, bad), std::invalid_argument);
  bad = options(0);
  CHECK_THROWS_AS(Loader(dataset, bad), std::invalid_argument);
  bad = options(10);
  bad.rank = 1;
  CHECK_THROWS_AS(Loader(dataset, bad), std::invalid_argument);
  CHECK_THROWS_AS(Loader(dataset, options(10, 0, -1)), std::invalid_argument);
  CHECK_THROWS_AS(Loader(dataset, options(10), -5), std::invalid_argument);
}

TEST_CASE("read_range: pictures come in order, by any number of threads", "[loader]") {
  const Numbers dataset(300);
  std::vector<int64_t> expected(200);
  std::iota(expected.begin(), expected.end(), 50);
  for (const int64_t threads : {0, 1, 5})
    CHECK(indices(data::read_range(dataset, 50, 250, threads)) == expected);
  CHECK(data::read_range(dataset, 300, 300).images.size(0) == 0);
  CHECK_THROWS_AS(data::read_range(dataset, 0, 301), std::invalid_argument);
  CHECK_THROWS_WITH(data::read_range(Numbers(300, 200), 0, 300, 4), test::holds("broken.png"));
}

TEST_CASE("read_spread: some of every part of a set, each once", "[loader]") {
  const Numbers dataset(300);
  const auto first = indices(data::read_spread(dataset, 0, 20, 30));
  const auto rest = indices(data::read_spread(dataset, 20, 30, 30));
  REQUIRE(first.size() == 20);
  for (size_t i = 0; i < first.size(); ++i) CHECK(first[i] / 10 == static_cast<int64_t>(i));
  for (size_t i = 0; i < rest.size(); ++i) CHECK(rest[i] / 10 == static_cast<int64_t>(20 + i));
  CHECK(indices(data::read_spread(dataset, 0, 300, 300)) ==
        indices(data::read_range(dataset, 0, 300)));
  CHECK_THROWS_AS(data::read_spread(dataset, 0, 301, 301), std::invalid_argument);
  CHECK_THROWS_AS(data::read_spread(dataset, 0, 31, 30), std::invalid_argument);
}

TEST_CASE("parallel_for: the lowest failure is told, whatever the timing", "[parallel]") {
  for (int round = 0; round < 50; ++round) {
    CHECK_THROWS_WITH(base::parallel_for(1000,
                                         4,
                                         [](int64_t i) {
                                           if (i % 10 == 7)
                                             throw std::runtime_error(std::to_string(i));
                                         }),
                      "7");
  }
}

// Real images next to samples: matched by class name.
#include "app/sampling/real_images.h"

#include <algorithm>

#include "data/formats/image_file.h"
#include "data/formats/json.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

namespace fs = std::filesystem;
using namespace uvic::app;
using namespace uvic::test;
using nlohmann::json;

namespace {

/// Images of one grey level each: 10 * label + repetition. Sorted by class.
class GreyLevels : public uvic::data::Dataset {
 public:
  GreyLevels(std::vector<std::string> names, int64_t per_class, int64_t classes)
      : names_(std::move(names)), per_class_(per_class), classes_(classes) {}
  int64_t size() const override { return per_class_ * classes_; }
  int64_t image_size() const override { return 4; }
  const std::vector<std::string>& class_names() const override { return names_; }
  std::string describe() const override { return "grey levels"; }
  std::string fingerprint() const override { return "grey levels"; }
  int64_t read(int64_t index, uint8_t* planes) const override {
    const int64_t label = index / per_class_;
    std::fill_n(planes, 3 * 4 * 4, static_cast<uint8_t>(10 * label + index % per_class_));
    return names_.empty() ? -1 : label;
  }

 private:
  std::vector<std::string> names_;
  int64_t per_class_, classes_;
};

/// The grey level of the image of a seed; -1 without a file.
int level_of(const fs::path& folder, int seed) {
  const auto path = folder / fmt::format("{:06d}.png", seed);
  return fs::exists(path) ? uvic::formats::read_image(path).rgb[0] : -1;
}

const json kSamples = {{"classes", {0, 1, 2}}, {"class_names", {"airplane", "bird", "truck"}}};
const std::vector<uint64_t> kSeeds = {0, 1, 2, 3, 4, 5};

}  // namespace

TEST_CASE("real images match samples by class name, not by class number", "[real_images]") {
  const Scratch scratch;
  // Class 0 of the data set is the samples' class 2: "truck" has levels 0 and 1, "bird" 20 and 21.
  const GreyLevels dataset({"truck", "airplane", "bird"}, 2, 3);
  write_real_images(dataset, kSeeds, kSamples, scratch / "real");
  const std::vector<int> expected = {10, 20, 0, 11, 21, 1};
  for (int seed = 0; seed < 6; ++seed) CHECK(level_of(scratch / "real", seed) == expected[seed]);
  CHECK(uvic::formats::read_json(scratch / "real" / "real.json")["labelled"] == true);
}

TEST_CASE("a class that the data set does not have gets no real image", "[real_images]") {
  const Scratch scratch;
  write_real_images(
      GreyLevels({"aaa_truck", "airplane", "bird"}, 2, 3), kSeeds, kSamples, scratch / "real");
  const std::vector<int> expected = {10, 20, -1, 11, 21, -1};
  for (int seed = 0; seed < 6; ++seed) CHECK(level_of(scratch / "real", seed) == expected[seed]);
}

TEST_CASE("without common class names real images have no classes", "[real_images]") {
  const Scratch scratch;
  const auto check_unlabelled = [&](const GreyLevels& dataset, const json& samples) {
    const auto folder = scratch / "real";
    fs::remove_all(folder);
    write_real_images(dataset, kSeeds, samples, folder);
    const std::vector<int> expected = {0, 1, 10, 11, 20, 21};
    for (int seed = 0; seed < 6; ++seed) CHECK(level_of(folder, seed) == expected[seed]);
    CHECK(uvic::formats::read_json(folder / "real.json")["labelled"] == false);
  };
  check_unlabelled(GreyLevels({"0", "1", "2"}, 2, 3), kSamples);
  check_unlabelled(GreyLevels({}, 2, 3), kSamples);
  check_unlabelled(GreyLevels({"truck", "airplane", "bird"}, 2, 3),
                   {{"classes", {0, 1, 2}}, {"class_names", json::array()}});
  check_unlabelled(GreyLevels({"truck", "airplane", "bird"}, 2, 3), {{"classes", json::array()}});
}

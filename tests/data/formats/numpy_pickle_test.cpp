#include "data/formats/numpy_pickle.h"

#include <filesystem>
#include <string>

#include "data/formats/atomic_file.h"
#include "data/formats/npy.h"
#include "tests/support/catch.h"

using namespace uvic::formats;
using Catch::Contains;

namespace {

const std::string kGolden = UVIC_GOLDEN_DIR "/formats/";

PickledArrays read(const std::string& bytes) {
  return read_pickled_arrays(MappedFile::from_bytes(bytes, "a.pkl"), 0, bytes.size());
}

const auto kMean = torch::arange(3, torch::kFloat64);
const auto kCovariance = torch::diag(torch::tensor({1.0, 2.0, 3.0}, torch::kFloat64));

}  // namespace

TEST_CASE("pickled arrays: a dictionary that numpy saved", "[numpy_pickle]") {
  const auto object = read_npy_object(kGolden + "statistics_object.npy");
  REQUIRE(object);
  CHECK(object->arrays.size() == 3);
  CHECK(torch::equal(object->arrays.at("mu"), kMean));
  CHECK(torch::equal(object->arrays.at("sigma"), kCovariance));
  CHECK(object->arrays.at("count").item<int64_t>() == 7);
  CHECK(object->foreign == std::set<std::string>{"__main__.Foreign"});

  const auto features = read_npy_object(kGolden + "features_object.npy");
  REQUIRE(features);
  CHECK(torch::equal(features->arrays.at("features"),
                     torch::arange(12, torch::kFloat32).view({4, 3})));
  CHECK(torch::equal(features->arrays.at("labels"), torch::arange(4)));

  const auto list = read_npy_object(kGolden + "list_object.npy");
  REQUIRE(list);
  CHECK(list->arrays.at("0").sizes() == at::IntArrayRef({4, 3}));
  CHECK(torch::equal(list->arrays.at("1"), kMean));

  CHECK_FALSE(read_npy_object(kGolden + "fortran.npy"));
  CHECK_THROWS_WITH(read_npy(kGolden + "statistics_object.npy"),
                    Contains("a pickled Python object"));
}

TEST_CASE("pickled arrays: every protocol, both byte orders, and inside an npz", "[numpy_pickle]") {
  for (const char* name : {"nested2.pkl", "nested4.pkl", "nested5.pkl"}) {
    INFO(name);
    const auto nested = read(read_file(kGolden + name));
    CHECK(nested.arrays.size() == 4);
    CHECK(torch::equal(nested.arrays.at("fid.mu"), kMean));
    CHECK(torch::equal(nested.arrays.at("fid.sigma"), kCovariance));
    CHECK(torch::equal(nested.arrays.at("fd_dinov2.mu"), kMean + 1));
    CHECK(torch::equal(nested.arrays.at("fd_dinov2.sigma"), kCovariance + 1));
  }
  const NpzFile npz(kGolden + "object.npz");
  const auto object = npz.read_object("stats");
  REQUIRE(object);
  CHECK(torch::equal(object->arrays.at("sigma"), kCovariance));
  CHECK_FALSE(npz.known_info("stats"));
}

TEST_CASE("pickled arrays: nothing is run, and damage is named", "[numpy_pickle]") {
  std::filesystem::remove("/tmp/uvic_was_here");
  CHECK_THROWS_WITH(read_npy_object(kGolden + "evil_object.npy"),
                    Contains("evil_object.npy: ") && Contains("posix.system, which runs code"));
  CHECK_FALSE(std::filesystem::exists("/tmp/uvic_was_here"));

  const auto whole = read_file(kGolden + "nested4.pkl");
  for (size_t size = 0; size < whole.size(); ++size)
    CHECK_THROWS_AS(read(whole.substr(0, size)), std::runtime_error);
  // A shape that the elements do not fill: 3 becomes 127.
  auto large = whole;
  const auto shape = large.find("K\x03\x85");  // (3,)
  REQUIRE(shape != std::string::npos);
  large[shape + 1] = '\x7f';
  CHECK_THROWS_WITH(read(large), Contains("a.pkl: fid.mu: damaged: fewer elements"));
}

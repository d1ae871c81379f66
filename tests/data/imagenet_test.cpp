// ImageNet's own layout, made small.
#include "data/imagenet.h"

#include <fstream>

#include "data/dataset.h"
#include "tests/data/pictures.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic;
using namespace uvic::data;
using test::holds;
using test::Scratch;
namespace fs = std::filesystem;

namespace {

/// Kaggle's: three classes, two of one name.
void make_imagenet(const fs::path& root) {
  const auto data = root / "ILSVRC/Data/CLS-LOC";
  int shade = 0;
  for (const auto* number : {"n01440764", "n02012849", "n03126707"})
    for (const auto* end : {"_10.png", "_7.png"})
      test::write_grey(data / "train" / number / (number + std::string(end)),
                       static_cast<uint8_t>(++shade));
  for (int i = 1; i <= 3; ++i)
    test::write_grey(data / "val" / ("ILSVRC2012_val_0000000" + std::to_string(i) + ".png"),
                     static_cast<uint8_t>(100 + i));
  std::ofstream(root / "LOC_synset_mapping.txt")
      << "n01440764 tench, Tinca tinca\r\nn02012849 crane\nn03126707 crane\n";
  std::ofstream(root / "LOC_val_solution.csv")
      << "ImageId,PredictionString\nILSVRC2012_val_00000002,n01440764 1 2 3 4 n01440764 1 2 3 4\n"
         "ILSVRC2012_val_00000001,n03126707 1 2 3 4\nILSVRC2012_val_00000003,n02012849 1 2 3 4\n";
}

std::unique_ptr<Dataset> opened_imagenet(const std::string& source) {
  DatasetOptions options;
  options.image_size = 8;
  return open_dataset(source, options);
}

}  // namespace

TEST_CASE("imagenet: classes by WordNet number, with names; validation by its table",
          "[imagenet]") {
  const Scratch scratch;
  make_imagenet(scratch.path());
  const auto root = scratch.path().string();
  CHECK(is_imagenet(root));
  const std::vector<std::string> names = {"tench", "crane (n02012849)", "crane (n03126707)"};
  for (const auto& source : {root, root + ":train"}) {
    const auto train = opened_imagenet(source);
    CHECK(train->size() == 6);
    CHECK(train->class_names() == names);
    for (int64_t i = 0; i < 6; ++i) CHECK(train->label(i) == i / 2);
  }
  const auto val = opened_imagenet(root + ":val");
  REQUIRE(val->size() == 3);
  CHECK(val->class_names() == names);
  std::map<int, int64_t> class_of_shade;
  std::vector<uint8_t> planes(3 * 8 * 8);
  for (int64_t i = 0; i < 3; ++i) {
    const auto label = val->read(i, planes.data());
    class_of_shade[planes[0]] = label;
  }
  CHECK(class_of_shade == std::map<int, int64_t>{{101, 2}, {102, 0}, {103, 1}});
  CHECK_FALSE(val->fingerprint().empty());
}

TEST_CASE("imagenet: what is absent or damaged is named", "[imagenet]") {
  const Scratch scratch;
  make_imagenet(scratch.path());
  const auto root = scratch.path().string();
  test::write_grey(scratch / "ILSVRC/Data/CLS-LOC/val/other.png", 1);
  CHECK_THROWS_WITH(opened_imagenet(root + ":val"), holds("other.png has no class"));
  fs::remove(scratch / "LOC_val_solution.csv");
  CHECK_THROWS_WITH(opened_imagenet(root + ":val"), holds("no LOC_val_solution.csv"));
  std::ofstream(scratch / "LOC_synset_mapping.txt") << "n01440764 tench\ntench\n";
  CHECK_THROWS_WITH(opened_imagenet(root), holds("LOC_synset_mapping.txt: line 2"));
  fs::remove_all(scratch / "ILSVRC/Data/CLS-LOC/train");
  CHECK_THROWS_WITH(opened_imagenet(root), holds("has no part train"));
  fs::remove(scratch / "LOC_synset_mapping.txt");
  CHECK_FALSE(is_imagenet(root));
}

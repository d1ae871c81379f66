// Byte for byte against Pillow, by the images that tests/golden/data/make_pillow.py took from it.
#include "data/pillow_resize.h"

#include <cstring>

#include "data/formats/npy.h"
#include "tests/support/catch.h"

using namespace uvic;
using namespace uvic::data;

namespace {

formats::Image image_of(const torch::Tensor& array) {
  const auto plain = array.contiguous();
  formats::Image image{static_cast<int>(plain.size(1)), static_cast<int>(plain.size(0)), {}};
  image.rgb.assign(plain.data_ptr<uint8_t>(), plain.data_ptr<uint8_t>() + plain.numel());
  return image;
}

bool same(const formats::Image& a, const formats::Image& b) {
  return a.width == b.width && a.height == b.height && a.rgb == b.rgb;
}

}  // namespace

TEST_CASE("images are resized and cropped as Pillow and the official code do it", "[resize]") {
  const auto golden = formats::read_npz(UVIC_GOLDEN_DIR "/data/pillow.npz");
  for (int i = 0; i < 4; ++i) {
    const auto n = std::to_string(i);
    INFO("image " << n);
    const auto image = image_of(golden.at("image" + n));
    const auto expect = [&](const std::string& name) { return image_of(golden.at(name)); };
    CHECK(same(pillow_resize(image, 29, 41, kPillowBox), expect("box" + n + "_29x41")));
    CHECK(same(pillow_resize(image, 29, 41, kPillowBicubic), expect("bicubic" + n + "_29x41")));
    CHECK(same(pillow_resize(image, 29, 41, kPillowLanczos), expect("lanczos" + n + "_29x41")));
    CHECK(same(square_crops().at("lanczos").fit(image, 32), expect("lanczos" + n)));
    if (std::min(image.width, image.height) >= 24)
      CHECK(same(square_crops().at("adm").fit(image, 24), expect("adm" + n)));
  }
}

TEST_CASE("an image of the right size passes unchanged", "[resize]") {
  const auto golden = formats::read_npz(UVIC_GOLDEN_DIR "/data/pillow.npz");
  const auto image = image_of(golden.at("image0"));
  CHECK(same(pillow_resize(image, image.width, image.height, kPillowLanczos), image));
}

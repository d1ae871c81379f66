#include "data/formats/image_file.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/fuzz/png_checksums.h"

UVIC_FUZZ_TARGET(image_file, ".png", ".jpg", ".bmp", ".webp") {
  using namespace uvic::fuzz;
  const std::string picture = is_png(bytes) ? with_png_checksums(bytes) : bytes;
  const auto* data = reinterpret_cast<const uint8_t*>(picture.data());
  uvic::formats::read_png_texts(data, picture.size(), "fuzz");
  uvic::formats::decode_image(data, picture.size(), "fuzz");
}

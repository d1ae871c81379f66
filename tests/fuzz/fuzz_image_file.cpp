#include "data/formats/image_file.h"
#include "tests/fuzz/fuzz_target.h"

UVIC_FUZZ_TARGET(image_file, ".png", ".jpg", ".bmp") {
  uvic::formats::decode_image(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), "fuzz");
}

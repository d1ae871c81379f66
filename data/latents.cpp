#include "data/latents.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace uvic::data {

const std::vector<std::string>& LatentDataset::class_names() const {
  static const std::vector<std::string> none;
  return none;
}

int64_t LatentDataset::read(int64_t, uint8_t*) const {
  throw std::runtime_error(
      fmt::format("{}: holds latents, and images are needed here; give the images that it was made "
                  "from",
                  name()));
}

void copy_as_float(const torch::Tensor& from, float* to) {
  const auto plain = from.contiguous();
  const auto count = static_cast<size_t>(plain.numel());
  if (plain.scalar_type() == torch::kFloat32) {
    std::memcpy(to, plain.data_ptr(), count * sizeof(float));
    return;
  }
  if (plain.scalar_type() != torch::kFloat16)
    throw std::invalid_argument(fmt::format("latents and contexts are float32 or float16, not {}",
                                            c10::toString(plain.scalar_type())));
  const auto* half = plain.data_ptr<at::Half>();
  std::copy(half, half + count, to);
}

}  // namespace uvic::data

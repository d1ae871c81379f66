#include "app/training/step_inputs.h"

#include <ATen/CPUGeneratorImpl.h>

#include "base/hash.h"

namespace uvic::app {

uint64_t step_seed(int64_t seed, int64_t images_seen) {
  return base::hash2(static_cast<uint64_t>(seed), static_cast<uint64_t>(images_seen));
}

at::Generator step_generator(int64_t seed, int64_t images_seen, torch::Device device) {
  auto generator = device.is_cuda() ? at::globalContext().defaultGenerator(device).clone()
                                    : at::make_generator<at::CPUGeneratorImpl>();
  generator.set_current_seed(step_seed(seed, images_seen));
  return generator;
}

torch::Tensor to_unit_range(const torch::Tensor& images) {
  return images.to(torch::kFloat32).mul(1 / 127.5).sub(1);
}

torch::Tensor condition(const RunConfig& options,
                        const torch::Tensor& labels,
                        at::Generator generator) {
  if (options.model.num_classes <= 0) return {};
  if (options.label_dropout <= 0) return labels;
  const auto chance =
      torch::rand(labels.sizes(), generator, labels.options().dtype(torch::kFloat32));
  return torch::where(chance < options.label_dropout,
                      torch::full_like(labels, options.model.num_classes - 1),
                      labels);
}

}  // namespace uvic::app

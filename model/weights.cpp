#include "model/weights.h"

#include <torch/nn/module.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <stdexcept>

#include "base/tensor_text.h"

namespace uvic::model {
NamedTensors named_weights(const torch::nn::Module& module) {
  NamedTensors result;
  for (const auto& item : module.named_parameters())
    result.emplace(item.key(), item.value().detach());
  for (const auto& item : module.named_buffers()) result.emplace(item.key(), item.value().detach());
  return result;
}

std::vector<std::string> weight_faults(const torch::nn::Module& module,
                                       const NamedTensors& tensors) {
  const auto own = named_weights(module);
  std::vector<std::string> faults;
  for (const auto& [name, wanted] : own) {
    const auto found = tensors.find(name);
    if (found == tensors.end())
      faults.push_back(
          fmt::format("{} is missing, the model wants {}", name, base::shape_text(wanted)));
    else if (found->second.sizes() != wanted.sizes())
      faults.push_back(fmt::format("{} is {}, the model wants {}",
                                   name,
                                   base::shape_text(found->second),
                                   base::shape_text(wanted)));
    else if (found->second.is_floating_point() != wanted.is_floating_point())
      faults.push_back(fmt::format("{} is {}, the model wants {}",
                                   name,
                                   base::dtype_text(found->second.scalar_type()),
                                   base::dtype_text(wanted.scalar_type())));
  }
  for (const auto& [name, tensor] : tensors)
    if (!own.count(name))
      faults.push_back(
          fmt::format("{} {} is not part of the model", name, base::shape_text(tensor)));
  return faults;
}

std::string faults_text(std::vector<std::string> faults) {
  constexpr size_t kShown = 5;  // of another network they are hundreds
  const size_t rest = faults.size() - std::min(faults.size(), kShown);
  faults.resize(faults.size() - rest);
  if (rest > 0) faults.push_back(fmt::format("and {} more", rest));
  return fmt::format("{}", fmt::join(faults, "; "));
}

void load_weights(torch::nn::Module& module,
                  const NamedTensors& tensors,
                  const std::string& source) {
  if (auto faults = weight_faults(module, tensors); !faults.empty())
    throw std::invalid_argument(fmt::format(
        "{}: {}; pass the config it was trained with", source, faults_text(std::move(faults))));
  const auto own = named_weights(module);
  torch::NoGradGuard no_grad;
  for (auto& [name, target] : own) torch::Tensor(target).copy_(tensors.at(name));
}

}  // namespace uvic::model

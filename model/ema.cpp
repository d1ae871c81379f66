#include "model/ema.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace uvic::model {

double ema_decay(double decay, double rampup_ratio, int64_t images_seen, int64_t batch_images) {
  if (rampup_ratio <= 0) return decay;
  const double half_life_images = rampup_ratio * static_cast<double>(images_seen);
  return half_life_images > 0 ? std::min(decay, std::pow(0.5, batch_images / half_life_images))
                              : 0.0;
}

Ema::Ema(const torch::nn::Module& net) {
  for (const auto& parameter : net.named_parameters()) {
    names_.push_back(parameter.key());
    averages_.push_back(parameter.value().detach().clone());
  }
}

void Ema::check(const torch::nn::Module& net) const {
  const auto parameters = net.named_parameters();
  const bool same = std::equal(parameters.begin(),
                               parameters.end(),
                               names_.begin(),
                               names_.end(),
                               [](const auto& p, const auto& name) { return p.key() == name; });
  if (!same)
    throw std::invalid_argument(fmt::format(
        "ema: {} averages were made for another network of {} parameters; start a new average",
        names_.size(),
        parameters.size()));
}

void Ema::update(const torch::nn::Module& net, double decay) {
  check(net);
  torch::NoGradGuard no_grad;
  const auto parameters = net.parameters();
  for (size_t i = 0; i < averages_.size(); ++i) averages_[i].lerp_(parameters[i], 1 - decay);
}

void Ema::copy_to(torch::nn::Module& net) const {
  check(net);
  torch::NoGradGuard no_grad;
  auto parameters = net.parameters();
  for (size_t i = 0; i < averages_.size(); ++i) parameters[i].copy_(averages_[i]);
}

std::map<std::string, torch::Tensor> Ema::named() const {
  std::map<std::string, torch::Tensor> result;
  for (size_t i = 0; i < names_.size(); ++i) result.emplace(names_[i], averages_[i]);
  return result;
}

}  // namespace uvic::model

#include "model/augment_scope.h"

#include <utility>

namespace uvic::model {
namespace {

torch::Tensor& augments_of_thread() {
  thread_local torch::Tensor augments;
  return augments;
}

}  // namespace

int64_t augment_numbers(const NetworkConfig& config) {
  return config.kind == "uvit" ? config.uvit.augment_dim : 0;
}

torch::Tensor active_augments() { return augments_of_thread(); }

AugmentScope::AugmentScope(torch::Tensor numbers)
    : before_(std::exchange(augments_of_thread(), std::move(numbers))) {}

AugmentScope::~AugmentScope() { augments_of_thread() = before_; }

}  // namespace uvic::model

#include "base/narrow_sum.h"

#include <utility>

namespace uvic::base {
namespace {

/// The library exchanges bytes: it knows no bf16.
torch::Tensor as_bytes(const torch::Tensor& narrow) { return narrow.view(torch::kUInt8); }

}  // namespace

NarrowSum::NarrowSum(ProcessGroup& group, torch::Tensor buffer)
    : group_(group), buffer_(std::move(buffer)) {
  const auto size = group_.size();
  narrow_ = torch::zeros({size, (buffer_.numel() + size - 1) / size},
                         buffer_.options().dtype(torch::kBFloat16));
}

void NarrowSum::start() {
  const torch::NoGradGuard no_grad;
  narrow_.view({-1}).slice(0, 0, buffer_.numel()).copy_(buffer_);
  parts_ = group_.start_exchange(as_bytes(narrow_));
}

void NarrowSum::sum_own_part() {
  const torch::NoGradGuard no_grad;
  group_.wait(*parts_);
  const auto parts = parts_->tensor.view(torch::kBFloat16);  // [size, n]
  auto sum = parts[0].to(torch::kFloat32);
  for (int64_t rank = 1; rank < parts.size(0); ++rank) sum.add_(parts[rank]);
  parts_ = nullptr;
  sums_ = group_.start_gather(as_bytes(sum.to(torch::kBFloat16)));
}

void NarrowSum::finish() {
  const torch::NoGradGuard no_grad;
  group_.wait(*sums_);
  const auto sums = sums_->tensor.view(torch::kBFloat16);  // [size, n]
  buffer_.copy_(sums.view({-1}).slice(0, 0, buffer_.numel()));
  sums_ = nullptr;
}

}  // namespace uvic::base

#include "app/training/gradient_exchange.h"

#include <torch/csrc/autograd/functions/accumulate_grad.h>
#include <torch/csrc/autograd/utils/lambda_post_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <stdexcept>

namespace uvic::app {

GradientExchange::GradientExchange(base::ProcessGroup& group,
                                   const std::vector<torch::Tensor>& parameters,
                                   const Wire& wire)
    : group_(group), parameters_(parameters), wire_(wire) {
  make_buckets(wire.bucket_bytes);
  watch_parameters();
}

GradientExchange::~GradientExchange() {
  for (size_t i = 0; i < hooks_.size(); ++i) accumulators_[i]->del_post_hook(hooks_[i]);
}

void GradientExchange::make_buckets(int64_t bucket_bytes) {
  // The backward pass gives the last parameters' gradients first.
  std::vector<int64_t> sizes;
  for (size_t i = parameters_.size(); i-- > 0;) {
    const auto numel = parameters_[i].numel();
    const int64_t bytes = numel * (wire_.is_narrow ? 2 : static_cast<int64_t>(sizeof(float)));
    if (buckets_.empty() ||
        (sizes.back() + numel) * static_cast<int64_t>(sizeof(float)) > bucket_bytes) {
      buckets_.emplace_back();
      sizes.push_back(0);
    }
    buckets_.back().parameters.push_back(i);
    sizes.back() += numel;
    bytes_ += bytes;
  }
  const auto flags = static_cast<int64_t>(parameters_.size());
  slots_.resize(parameters_.size());
  for (size_t b = 0; b < buckets_.size(); ++b) {
    auto& bucket = buckets_[b];
    const bool is_last = b + 1 == buckets_.size();
    bucket.buffer = torch::zeros({sizes[b] + (is_last ? flags : 0)});
    bucket.missing = bucket.parameters.size();
    int64_t at = 0;
    for (const size_t i : bucket.parameters) {
      slots_[i].bucket = b;
      slots_[i].view =
          bucket.buffer.slice(0, at, at + parameters_[i].numel()).view(parameters_[i].sizes());
      at += parameters_[i].numel();
    }
    if (is_last) has_gradient_ = bucket.buffer.slice(0, at);
    if (wire_.is_narrow) bucket.narrow = std::make_unique<base::NarrowSum>(group_, bucket.buffer);
  }
}

void GradientExchange::watch_parameters() {
  for (size_t i = 0; i < parameters_.size(); ++i) {
    auto accumulator = torch::autograd::impl::grad_accumulator(parameters_[i]);
    hooks_.push_back(
        accumulator->add_post_hook(std::make_unique<torch::autograd::utils::LambdaPostHook>(
            [this, i](const torch::autograd::variable_list& outputs,
                      const torch::autograd::variable_list&) {
              if (sending_) {
                fill(i);
                send_full_buckets();
              }
              return outputs;
            })));
    accumulators_.push_back(std::move(accumulator));  // of which a parameter keeps none
  }
}

int64_t GradientExchange::sum_of_counts(int64_t own) {
  const auto count = torch::full({1}, own, torch::kInt64);
  group_.sum(count);
  return count.item<int64_t>();
}

void GradientExchange::fill(size_t parameter) {
  const torch::NoGradGuard no_grad;
  auto& slot = slots_[parameter];
  if (slot.is_filled)
    throw std::logic_error("a parameter's gradient was accumulated again after it had been sent");
  auto& gradient = torch::Tensor(parameters_[parameter]).mutable_grad();
  const bool has_one = gradient.defined();
  has_gradient_.data_ptr<float>()[parameter] = has_one ? 1 : 0;
  if (has_one) {
    slot.view.copy_(gradient);
    gradient = slot.view;  // whose memory the other would only add to
  } else {
    slot.view.zero_();
  }
  slot.is_filled = true;
  --buckets_[slot.bucket].missing;
}

void GradientExchange::send_full_buckets() {
  while (sent_ < buckets_.size() && buckets_[sent_].missing == 0) {
    auto& bucket = buckets_[sent_++];
    if (bucket.narrow)
      bucket.narrow->start();
    else
      bucket.sum = group_.start_sum(bucket.buffer);
    // The others sent their parts of that bucket long ago, most likely: little to wait for.
    constexpr size_t kBehind = 2;
    if (sent_ > kBehind) sum_parts_before(sent_ - kBehind);
  }
}

void GradientExchange::sum_parts_before(size_t bucket) {
  for (; summed_ < bucket; ++summed_)
    if (const auto& narrow = buckets_[summed_].narrow) narrow->sum_own_part();
}

void GradientExchange::receive_buckets() {
  sum_parts_before(buckets_.size());
  for (auto& bucket : buckets_) {
    if (bucket.narrow)
      bucket.narrow->finish();
    else
      group_.wait(*bucket.sum);
    bucket.sum = nullptr;
    bucket.missing = bucket.parameters.size();
  }
}

std::vector<PartReport> GradientExchange::finish(const PartReport& own) {
  sending_ = false;
  for (size_t i = parameters_.size(); i-- > 0;)
    if (!slots_[i].is_filled) {
      fill(i);
      send_full_buckets();
    }
  const auto all = torch::zeros({group_.size(), 3}, torch::kFloat64);
  all[group_.rank()][0] = own.loss;
  all[group_.rank()][1] = static_cast<double>(own.stop_signal);
  all[group_.rank()][2] = own.saves ? 1 : 0;
  const auto report = group_.start_sum(all);
  receive_buckets();
  group_.wait(*report);
  sent_ = summed_ = 0;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    slots_[i].is_filled = false;
    const bool has_one = has_gradient_.data_ptr<float>()[i] > 0;
    torch::Tensor(parameters_[i]).mutable_grad() = has_one ? slots_[i].view : torch::Tensor();
  }
  std::vector<PartReport> reports;
  for (int64_t r = 0; r < group_.size(); ++r)
    reports.push_back({all[r][0].item<double>(),
                       static_cast<int64_t>(all[r][1].item<double>()),
                       all[r][2].item<double>() != 0});
  return reports;
}

}  // namespace uvic::app

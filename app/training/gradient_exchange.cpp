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
}

GradientExchange::~GradientExchange() {
  for (size_t i = 0; i < hooks_.size(); ++i) accumulators_[i]->del_post_hook(hooks_[i]);
}

/// Numbers that a parameter's gradient takes in a buffer.
int64_t GradientExchange::room(size_t parameter) const {
  constexpr int64_t kAtOnce = 4;
  const auto numel = parameters_[parameter].numel();
  return is_on_gpu() ? (numel + kAtOnce - 1) / kAtOnce * kAtOnce : numel;
}

void GradientExchange::make_buckets(int64_t bucket_bytes) {
  // The backward pass gives the last parameters' gradients first.
  std::vector<int64_t> sizes;
  for (size_t i = parameters_.size(); i-- > 0;) {
    const auto numel = parameters_[i].numel();
    const int64_t bytes = numel * (wire_.is_narrow ? 2 : static_cast<int64_t>(sizeof(float)));
    if (buckets_.empty() ||
        (sizes.back() + room(i)) * static_cast<int64_t>(sizeof(float)) > bucket_bytes) {
      buckets_.emplace_back();
      sizes.push_back(0);
    }
    buckets_.back().parameters.push_back(i);
    sizes.back() += room(i);
    bytes_ += bytes;
  }
  const auto flags = is_on_gpu() ? 0 : static_cast<int64_t>(parameters_.size());
  has_own_.resize(parameters_.size());
  slots_.resize(parameters_.size());
  for (size_t b = 0; b < buckets_.size(); ++b) {
    auto& bucket = buckets_[b];
    const bool is_last = b + 1 == buckets_.size();
    bucket.buffer = torch::zeros({sizes[b] + (is_last ? flags : 0)}, parameters_.front().options());
    bucket.missing = bucket.parameters.size();
    int64_t at = 0;
    for (const size_t i : bucket.parameters) {
      slots_[i].bucket = b;
      slots_[i].view =
          bucket.buffer.slice(0, at, at + parameters_[i].numel()).view(parameters_[i].sizes());
      at += room(i);
    }
    if (is_last && flags > 0) has_gradient_ = bucket.buffer.slice(0, at);
    if (wire_.is_narrow) bucket.narrow = std::make_unique<base::NarrowSum>(group_, bucket.buffer);
  }
}

void GradientExchange::send_during_backward() {
  // Not before a forward pass: on a GPU what accumulates a gradient runs on the stream on which it
  // was made, and must be in the recording of a step.
  if (accumulators_.empty()) watch_parameters();
  sending_ = true;
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
  has_own_[parameter] = has_one;
  if (has_gradient_.defined()) has_gradient_.data_ptr<float>()[parameter] = has_one ? 1 : 0;
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
  }
}

void GradientExchange::send_rest() {
  sending_ = false;
  for (size_t i = parameters_.size(); i-- > 0;)
    if (!slots_[i].is_filled) {
      fill(i);
      send_full_buckets();
    }
}

void GradientExchange::agree_on_gradients() {
  if (!is_on_gpu()) return;
  if (!first_own_.empty()) {
    if (has_own_ != first_own_)
      throw std::logic_error("other parameters have a gradient than in the first step");
    return;
  }
  const auto count = static_cast<int64_t>(parameters_.size());
  const auto flags = torch::zeros({count}, torch::kInt64);
  for (int64_t i = 0; i < count; ++i)
    flags.data_ptr<int64_t>()[i] = has_own_[static_cast<size_t>(i)];
  group_.sum(flags);
  first_own_ = has_own_;
  for (int64_t i = 0; i < count; ++i) first_any_.push_back(flags.data_ptr<int64_t>()[i] > 0);
}

bool GradientExchange::any_has_gradient(size_t parameter) const {
  return has_gradient_.defined() ? has_gradient_.data_ptr<float>()[parameter] > 0
                                 : first_any_[parameter];
}

void GradientExchange::take_sums() {
  agree_on_gradients();
  for (size_t i = 0; i < parameters_.size(); ++i)
    torch::Tensor(parameters_[i]).mutable_grad() =
        any_has_gradient(i) ? slots_[i].view : torch::Tensor();
  start_over();
}

void GradientExchange::start_over() {
  sent_ = summed_ = 0;
  sending_ = false;
  for (auto& slot : slots_) slot.is_filled = false;
  for (auto& bucket : buckets_) bucket.missing = bucket.parameters.size();
}

std::shared_ptr<base::PendingExchange> GradientExchange::start_report(const PartReport& own) {
  const auto all = torch::zeros({group_.size(), 3}, torch::kFloat64);
  all[group_.rank()][0] = own.loss;
  all[group_.rank()][1] = static_cast<double>(own.stop_signal);
  all[group_.rank()][2] = own.saves ? 1 : 0;
  return group_.start_sum(all);
}

std::vector<PartReport> GradientExchange::reports_of(base::PendingExchange& report) {
  group_.wait(report);
  const auto& all = report.tensor;
  std::vector<PartReport> reports;
  for (int64_t r = 0; r < group_.size(); ++r)
    reports.push_back({all[r][0].item<double>(),
                       static_cast<int64_t>(all[r][1].item<double>()),
                       all[r][2].item<double>() != 0});
  return reports;
}

void GradientExchange::sum_gradients() {
  send_rest();
  receive_buckets();
  take_sums();
}

std::vector<PartReport> GradientExchange::agree(const PartReport& own) {
  return reports_of(*start_report(own));
}

std::vector<PartReport> GradientExchange::finish(const PartReport& own) {
  send_rest();
  const auto report = start_report(own);
  receive_buckets();
  auto reports = reports_of(*report);
  take_sums();
  return reports;
}

int64_t GradientExchange::first_without(bool holds) {
  const auto all = group_.gather(torch::full({1}, holds ? 1 : 0, torch::kInt64));
  for (int64_t r = 0; r < group_.size(); ++r)
    if (all[r][0].item<int64_t>() == 0) return r;
  return -1;
}

}  // namespace uvic::app

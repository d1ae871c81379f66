#include "app/training/state_shares.h"

#include <algorithm>
#include <memory>
#include <numeric>

namespace uvic::app {
namespace {

// A parameter begins where its memory would: at a multiple of 64 bytes.
constexpr int64_t kAligned = 16;
// Elements that are sent at once, 16 MiB.
constexpr int64_t kChunk = 4 << 20;

std::vector<int64_t> sizes_of_parameters(const std::vector<torch::Tensor>& parameters) {
  std::vector<int64_t> sizes;
  for (const auto& p : parameters) sizes.push_back(p.numel());
  return sizes;
}

int64_t aligned(int64_t elements) { return (elements + kAligned - 1) / kAligned * kAligned; }

}  // namespace

std::vector<int64_t> owners_of(const std::vector<int64_t>& elements, int64_t processes) {
  std::vector<size_t> order(elements.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(
      order.begin(), order.end(), [&](size_t a, size_t b) { return elements[a] > elements[b]; });
  std::vector<int64_t> owners(elements.size()), load(static_cast<size_t>(processes));
  for (const size_t i : order) {
    const auto least = std::min_element(load.begin(), load.end());
    owners[i] = least - load.begin();
    *least += elements[i];
  }
  return owners;
}

StateShares::StateShares(base::ProcessGroup& group, const std::vector<torch::Tensor>& parameters)
    : group_(group),
      parameters_(parameters),
      owners_(owners_of(sizes_of_parameters(parameters), group.size())) {
  const torch::NoGradGuard no_grad;
  int64_t total = 0;
  for (const auto& p : parameters_) total += aligned(p.numel());
  weights_ = torch::zeros({total}, parameters_.front().options());
  std::vector<std::vector<Chunk>> of_owner(static_cast<size_t>(group_.size()));
  int64_t at = 0;
  for (int64_t owner = 0; owner < group_.size(); ++owner) {
    const int64_t first = at;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      if (owners_[i] != owner) continue;
      auto p = parameters_[i];
      const auto place = weights_.slice(0, at, at + p.numel()).view(p.sizes());
      place.copy_(p);
      p.set_data(place);
      at += aligned(p.numel());
    }
    for (int64_t begin = first; begin < at; begin += kChunk)
      of_owner[static_cast<size_t>(owner)].push_back(
          {owner, weights_.slice(0, begin, std::min(at, begin + kChunk))});
  }
  // In turn, so that all owners send at once.
  for (size_t n = 0, left = 1; left > 0; ++n) {
    left = 0;
    for (const auto& chunks : of_owner) {
      if (n < chunks.size()) chunks_.push_back(chunks[n]);
      left += n + 1 < chunks.size();
    }
  }
}

std::vector<bool> StateShares::own() const {
  std::vector<bool> own;
  for (size_t i = 0; i < owners_.size(); ++i) own.push_back(is_own(i));
  return own;
}

double StateShares::largest_part() const {
  std::vector<int64_t> kept(static_cast<size_t>(group_.size()));
  int64_t all = 0;
  for (size_t i = 0; i < owners_.size(); ++i) {
    const auto elements = parameters_[i].numel();
    kept[static_cast<size_t>(owners_[i])] += elements;
    all += elements;
  }
  return static_cast<double>(*std::max_element(kept.begin(), kept.end())) /
         static_cast<double>(std::max<int64_t>(1, all));
}

void StateShares::share_parameters() const {
  std::vector<std::shared_ptr<base::PendingExchange>> pending;
  for (const auto& chunk : chunks_)
    pending.push_back(group_.start_broadcast(chunk.weights, chunk.owner));
  for (const auto& one : pending) group_.wait(*one);
}

torch::Tensor StateShares::whole(const torch::Tensor& own, size_t parameter) const {
  const torch::NoGradGuard no_grad;
  auto tensor =
      is_own(parameter) ? own.detach() : torch::empty_like(parameters_[parameter].detach());
  group_.broadcast(tensor, owners_[parameter]);
  group_.check_gpu();  // what follows may write it to a file
  return tensor;
}

void StateShares::stage(const std::string& set,
                        const std::string& name,
                        const torch::Tensor& value) {
  staged_sets_.insert(set);
  staged_[set + name] = value.detach();
}

void StateShares::drop_staged() {
  staged_.clear();
  staged_sets_.clear();
}

}  // namespace uvic::app

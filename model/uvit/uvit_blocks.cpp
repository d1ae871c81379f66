// The blocks of a U-ViT one after the other: long skip connections, bypasses, recomputing.
#include "model/recompute.h"
#include "model/uvit/uvit.h"

namespace uvic::model {

torch::Tensor UViTImpl::run_block(const std::shared_ptr<torch::nn::Module>& module,
                                  const torch::Tensor& x,
                                  const torch::Tensor& skip,
                                  BlockCall call) {
  const auto block = std::static_pointer_cast<BlockImpl>(module);
  call.compute = compute_dtype();
  // The block that makes first_values has two results, and keeps its activations.
  const bool has_two_results = call.first_values && !call.first_values->defined();
  if (!config_.use_checkpoint || has_two_results) return block->forward(x, skip, call);
  auto* values = call.values;
  const auto run = [block, call, values](const std::vector<torch::Tensor>& in) mutable {
    // In the backward pass what the call points to no longer exists. Work on copies, and assign
    // `values` only during the call.
    auto own = in[2], first = in[3];
    auto again = call;
    again.values = call.values ? &own : nullptr;
    again.first_values = call.first_values ? &first : nullptr;
    auto out = block->forward(in[0], in[1], again);
    if (values) *values = own;
    values = nullptr;
    return out;
  };
  const auto or_undefined = [](const torch::Tensor* t) { return t ? *t : torch::Tensor(); };
  return recompute_in_backward(
      run,
      {x, skip, or_undefined(call.values), or_undefined(call.first_values)},
      block->parameters());
}

namespace {

/// Rows of t [B, H, L, D] or [B, L, D] at the tokens `index` [B, K] of each example.
torch::Tensor tokens_of(const torch::Tensor& t, const torch::Tensor& index) {
  const auto at = t.dim() == 4 ? index.unsqueeze(1).unsqueeze(-1) : index.unsqueeze(-1);
  auto shape = t.sizes().vec();
  shape[static_cast<size_t>(t.dim() - 2)] = index.size(1);
  return t.gather(t.dim() - 2, at.expand(shape));
}

/// The tokens of a route in the order of the network: those before the patches, and the kept ones.
torch::Tensor routed_tokens(const torch::Tensor& kept, int64_t extras) {
  const auto before = torch::arange(extras, kept.options()).expand({kept.size(0), extras});
  return torch::cat({before, kept + extras}, 1);  // [B, extras + K]
}

Rotations rotations_of(const Rotations& all, const torch::Tensor& index) {
  if (!all.defined()) return {};
  const auto at = [&](const torch::Tensor& t) {
    return t.index_select(0, index.flatten())
        .view({index.size(0), 1, index.size(1), t.size(1)});  // [B, 1, K, width / 2]
  };
  return {at(all.cos), at(all.sin)};
}

void keep_output(int64_t block, const torch::Tensor& patches, BlockOutputs& outputs) {
  for (size_t i = 0; i < outputs.blocks.size(); ++i)
    if (outputs.blocks[i] == block) outputs.tokens[i] = patches;
}

}  // namespace

/// A copy is made once, so that a recorded CUDA graph reads memory that stays.
Rotations UViTImpl::rotations_on(torch::Device device) {
  if (device.is_cpu() || !rotations_.defined()) return rotations_;
  const std::lock_guard lock(device_copy_);
  if (!on_device_.defined() || on_device_.cos.device() != device)
    on_device_ = {rotations_.cos.to(device), rotations_.sin.to(device)};
  return on_device_;
}

/// What SPRINT's decoder reads: deep features, or the mask token for the examples of `dropped`, next
/// to the shallow ones.
torch::Tensor UViTImpl::fused(torch::Tensor deep,
                              const torch::Tensor& shallow,
                              const torch::Tensor& dropped) {
  if (dropped.defined()) deep = torch::where(dropped.view({-1, 1, 1}), mask_token, deep);
  const auto compute = compute_dtype();
  const auto both = torch::cat({deep.to(compute), shallow.to(compute)}, -1);  // [B, L, 2 D]
  return fusion->forward(both).to(deep.scalar_type());
}

std::shared_ptr<torch::nn::Module> UViTImpl::block_at(int64_t number) const {
  const int64_t middle = config_.depth / 2;
  if (number == middle) return mid_block.ptr();
  return number < middle ? in_blocks->ptr(static_cast<size_t>(number))
                         : out_blocks->ptr(static_cast<size_t>(number - middle - 1));
}

/// A route takes as many blocks on either side of the middle one: a long skip connection then joins
/// tokens of the same blocks' kind, kept ones with kept ones and all with all. So does a fusion, and
/// so do class tokens, which are the first of h here and of the others only in their blocks.
torch::Tensor UViTImpl::run_blocks(torch::Tensor h,
                                   const TokenRoute& route,
                                   BlockOutputs* outputs,
                                   int64_t last_wanted) {
  torch::Tensor values, first_values, shallow, index, all_first_values, class_tokens;
  BlockCall call;
  if (passes_values_) call.values = &values;
  if (config_.value_residual) call.first_values = &first_values;
  call.rotations = rotations_on(h.device());
  Rotations all_rotations;
  const bool routes = route.kept.defined(), fuses = config_.fusion > 0;
  const int64_t last = config_.blocks() - 1, middle = last / 2;
  const int64_t margin = routes ? route.margin : config_.fusion;
  const int64_t classes = config_.class_tokens, classes_from = config_.class_tokens_from;
  int64_t extras = config_.extras();
  // Fused blocks take tokens in one piece.
  const auto without_classes = [&] { return h.slice(1, classes).contiguous(); };
  if (classes > 0) class_tokens = h.slice(1, 0, classes), h = without_classes();
  if (outputs) outputs->tokens.resize(outputs->blocks.size());
  std::vector<torch::Tensor> skips;
  for (int64_t number = 0; number <= last; ++number) {
    if (classes > 0 && number == classes_from) {
      h = torch::cat({class_tokens, h}, 1), extras += classes;
      call.rotations = with_still_tokens(call.rotations, classes);
    }
    if ((routes || fuses) && number == margin) shallow = h;
    if (routes && number == margin) {
      index = routed_tokens(route.kept, extras);
      all_first_values = first_values, all_rotations = call.rotations;
      h = tokens_of(h, index);
      if (first_values.defined()) first_values = tokens_of(first_values, index);
      call.rotations = rotations_of(all_rotations, index);
    }
    torch::Tensor skip;
    if (config_.skip && number > middle) skip = skips.back(), skips.pop_back();
    h = run_block(block_at(number), h, skip, call);
    if (config_.skip && number < middle) skips.push_back(h);
    if (outputs) keep_output(number, h.slice(1, extras), *outputs);
    if (number == last_wanted) break;
    if (routes && number == last - margin) {
      const auto bypassing = fuses ? mask_token.expand_as(shallow) : shallow;
      h = bypassing.scatter(1, index.unsqueeze(-1).expand_as(h), h);
      first_values = all_first_values, call.rotations = all_rotations;
    }
    if (fuses && number == last - margin) h = fused(h, shallow, route.dropped);
    if (classes > 0 && number == last - classes_from) {
      h = without_classes(), extras -= classes;
      call.rotations = without_first_tokens(call.rotations, classes);
    }
  }
  return h;  // [B, L, D]
}

}  // namespace uvic::model

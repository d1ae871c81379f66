#include "model/kernels/cuda/optimizer_cuda_binding.h"

#include <c10/cuda/CUDAGuard.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "model/kernels/cuda/optimizer_cuda.h"

namespace uvic::model {
namespace {

torch::Tensor bytes_on(torch::Device device, size_t bytes) {
  return torch::empty({static_cast<int64_t>(bytes)}, torch::dtype(torch::kUInt8).device(device));
}

/// Copies on the current stream without waiting. The allocator of pinned memory reuses a block only
/// after the copy that reads it.
void upload(const torch::Tensor& to, const void* from, size_t bytes) {
  const auto staged =
      torch::empty({static_cast<int64_t>(bytes)}, torch::dtype(torch::kUInt8).pinned_memory(true));
  std::memcpy(staged.data_ptr(), from, bytes);
  to.copy_(staged, /*non_blocking=*/true);
}

torch::Tensor blocks_on(torch::Device device, const std::vector<cuda::AdamwBlock>& blocks) {
  const auto bytes = blocks.size() * sizeof(cuda::AdamwBlock);
  auto on_device = bytes_on(device, bytes);
  if (bytes > 0) upload(on_device, blocks.data(), bytes);
  return on_device;
}

float* floats(const torch::Tensor& x) { return x.defined() ? x.data_ptr<float>() : nullptr; }

}  // namespace

struct CudaAdamw::Tables {
  std::vector<AdamwTensors> kept;
  std::vector<cuda::AdamwTensor> tensors;
  std::vector<torch::Tensor> gradients;  ///< keeps the memory that the table points to
  torch::Tensor device_tensors, device_blocks, own_blocks, device_values, partial_sums, norm;
  cuda::AdamwJob norm_job{}, job{};
};

bool cuda_adamw_serves(const std::vector<AdamwTensors>& tensors, const std::vector<bool>& own) {
  for (size_t i = 0; i < tensors.size(); ++i) {
    auto t = tensors[i];
    if (!own.empty() && !own[i]) {
      t.mean = t.square = t.param;
      t.ema = t.narrow = torch::Tensor();
    }
    for (const auto* x : {&t.param, &t.mean, &t.square})
      if (!x->defined() || !x->is_cuda() || x->scalar_type() != torch::kFloat32 ||
          !x->is_contiguous() || x->device() != tensors[0].param.device() ||
          x->sizes() != t.param.sizes())
        return false;
    if (t.ema.defined() && (t.ema.scalar_type() != torch::kFloat32 || !t.ema.is_contiguous() ||
                            t.ema.sizes() != t.param.sizes() || !t.ema.is_cuda()))
      return false;
    if (t.narrow.defined() &&
        (t.narrow.scalar_type() != torch::kBFloat16 || !t.narrow.is_contiguous() ||
         t.narrow.sizes() != t.param.sizes() || !t.narrow.is_cuda()))
      return false;
  }
  return !tensors.empty();
}

CudaAdamw::CudaAdamw(const std::vector<AdamwTensors>& tensors, const std::vector<bool>& own)
    : tables_(new Tables) {
  if (!cuda_adamw_serves(tensors, own))
    throw std::invalid_argument(
        "CudaAdamw: give float32 contiguous parameters and averages of one shape each, all on one "
        "CUDA device");
  auto& t = *tables_;
  t.kept = tensors;
  for (const auto& x : tensors)
    t.tensors.push_back(
        {floats(x.param),
         nullptr,
         floats(x.mean),
         floats(x.square),
         floats(x.ema),
         x.narrow.defined() ? reinterpret_cast<uint16_t*>(x.narrow.data_ptr()) : nullptr,
         x.param.numel()});
  t.gradients.resize(tensors.size());
  const auto device = tensors[0].param.device();
  const c10::cuda::CUDAGuard guard(device);
  const auto blocks = cuda::adamw_blocks(t.tensors);
  t.device_tensors = bytes_on(device, t.tensors.size() * sizeof(cuda::AdamwTensor));
  t.device_blocks = blocks_on(device, blocks);
  t.device_values = bytes_on(device, sizeof(cuda::AdamwValues));
  t.partial_sums = torch::empty({static_cast<int64_t>(blocks.size())},
                                torch::dtype(torch::kFloat64).device(device));
  t.norm = torch::zeros({2}, torch::dtype(torch::kFloat32).device(device));
  upload(t.device_tensors, t.tensors.data(), t.tensors.size() * sizeof(cuda::AdamwTensor));
  // The norm is summed in the same order whoever owns what.
  auto of_own = blocks;
  if (!own.empty()) {
    const auto is_of_others = [&](const auto& b) { return !own[static_cast<size_t>(b.tensor)]; };
    of_own.erase(std::remove_if(of_own.begin(), of_own.end(), is_of_others), of_own.end());
    t.own_blocks = blocks_on(device, of_own);
  }
  c10::cuda::getCurrentCUDAStream(device.index()).synchronize();
  t.norm_job = {static_cast<const cuda::AdamwTensor*>(t.device_tensors.data_ptr()),
                static_cast<const cuda::AdamwBlock*>(t.device_blocks.data_ptr()),
                static_cast<int64_t>(blocks.size()),
                static_cast<const cuda::AdamwValues*>(t.device_values.data_ptr()),
                t.partial_sums.data_ptr<double>(),
                t.norm.data_ptr<float>()};
  t.job = t.norm_job;
  if (own.empty()) return;
  t.job.blocks = static_cast<const cuda::AdamwBlock*>(t.own_blocks.data_ptr());
  t.job.block_count = static_cast<int64_t>(of_own.size());
}

CudaAdamw::~CudaAdamw() = default;

void CudaAdamw::set_gradients(const std::vector<torch::Tensor>& gradients) {
  auto& t = *tables_;
  if (gradients.size() != t.tensors.size())
    throw std::invalid_argument("CudaAdamw: one gradient for each parameter, undefined or not");
  const bool before = t.gradients[0].defined();
  bool changed = !before;
  for (size_t i = 0; i < gradients.size(); ++i) {
    auto g = gradients[i];
    if (g.defined()) g = g.to(torch::kFloat32).contiguous();
    if (g.defined() && g.sizes() != t.kept[i].param.sizes())
      throw std::invalid_argument("CudaAdamw: a gradient's shape is not its parameter's");
    changed = changed || floats(g) != t.tensors[i].grad;
    t.tensors[i].grad = floats(g);
    t.gradients[i] = g;
  }
  if (!changed) return;
  const auto device = t.norm.device();
  const c10::cuda::CUDAGuard guard(device);
  const auto stream = c10::cuda::getCurrentCUDAStream(device.index());
  stream.synchronize();  // unfinished steps still read the table
  upload(t.device_tensors, t.tensors.data(), t.tensors.size() * sizeof(cuda::AdamwTensor));
  stream.synchronize();
}

void CudaAdamw::set_values(const AdamwStep& step, double grad_clip) {
  const auto values = cuda::adamw_values(step.lr,
                                         step.beta1,
                                         step.beta2,
                                         step.epsilon,
                                         step.weight_decay,
                                         grad_clip,
                                         step.ema_decay,
                                         step.step);
  upload(tables_->device_values, &values, sizeof values);
}

void CudaAdamw::launch() {
  const auto device = tables_->norm.device();
  const c10::cuda::CUDAGuard guard(device);
  void* const stream = c10::cuda::getCurrentCUDAStream(device.index()).stream();
  cuda::gradient_norm(tables_->norm_job, stream);
  if (tables_->job.block_count > 0) cuda::adamw_ema(tables_->job, stream);
}

torch::Tensor CudaAdamw::norm() const { return tables_->norm; }

}  // namespace uvic::model

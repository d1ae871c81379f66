#include "app/training/job.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "app/runs/processes.h"
#include "app/runs/run_parts.h"
#include "base/check.h"
#include "base/device_collectives.h"
#include "base/precision.h"
#include "model/kernels/cpu/isa.h"

namespace uvic::app {
namespace {

/// Where files are, and how one process works.
bool option_may_differ(const std::string& option) {
  for (const auto* own : {"data",
                          "out",
                          "init",
                          "threads",
                          "workers",
                          "device",
                          "score_ref",
                          "inception",
                          "autoencoder",
                          "text_encoder",
                          "tokenizer",
                          "dataset.memory_limit_mib",
                          "memory"})
    if (option == own) return true;
  return false;
}

/// What the first process has read of a set goes to the owners of its tensors. A set that it has
/// not read stays as it begins: the average is the weights, the optimizer at rest.
void send_to_owners(base::ProcessGroup& group, TrainState& state, const TrainState::Set& set) {
  auto& shares = *state.shares;
  const bool is_given = !group.broadcast(shares.is_staged(set.prefix) ? "given" : "").empty();
  for (size_t i = 0; i < set.tensors.size(); ++i) {
    auto own = set.tensors[i].defined() ? set.tensors[i].detach() : torch::Tensor();
    if (is_given) {
      if (!own.defined() || shares.owner(i) == 0) continue;
      torch::Tensor sent;
      if (group.is_first())
        sent =
            shares.staged(set.prefix, state.names[i]).to(state.parameters[i].device()).contiguous();
      else
        sent = shares.is_own(i) ? own : torch::empty_like(state.parameters[i].detach());
      group.broadcast(sent);
    } else if (set.prefix == "ema." && shares.is_own(i)) {
      own.copy_(state.parameters[i]);
    }
  }
}

}  // namespace

void require_same_job(base::ProcessGroup& group,
                      const RunConfig& config,
                      const data::Examples& examples,
                      torch::Device device,
                      const std::vector<std::pair<std::string, std::string>>& ways) {
  std::string options;
  for (const auto& [name, value] : option_texts(config))
    if (!option_may_differ(name)) options += fmt::format("{} = {}; ", name, value);
  group.require_same(ways);
  group.require_same({{"configuration", options},
                      {"training set", examples.fingerprint()},
                      {"precision", base::resolve_precision(config.precision, device)},
                      {"instruction set of the kernels (set UVIC_ISA on all hosts)",
                       model::isa_name(model::active_isa())}});
}

base::ProcessOptions processes_of(const LaunchOptions& flags) {
  auto options = flags.processes;
  options.even_one = flags.collectives == "nccl";
  return options;
}

torch::Device training_device(base::ProcessGroup* group,
                              const std::string& wanted,
                              const LaunchOptions& flags) {
  const auto device = device_of_process(group, wanted);
  base::require(device.is_cuda() || flags.collectives != "nccl",
                "--collectives nccl: NCCL is for GPUs, and the device is the CPU");
  if (!group || device.is_cpu()) return device;
  base::require(group->size() > 1 || base::has_device_collectives(),
                "--collectives nccl: this build has no NCCL (LibTorch 2.1 or newer with CUDA and "
                "NCCL, and nccl.h); leave the option out");
  base::require(base::has_device_collectives(),
                "--device {}: this build has no NCCL, by which several processes train on GPUs "
                "(LibTorch 2.1 or newer with CUDA and NCCL, and nccl.h); pass --device cpu",
                wanted);
  group->connect_gpu(device);
  return device;
}

void share_state(base::ProcessGroup& group, TrainState& state) {
  const torch::NoGradGuard no_grad;
  for (const auto& set : state.sets()) {
    if (state.shares && set.prefix != "model.")
      send_to_owners(group, state, set);
    else
      for (const auto& tensor : set.tensors)
        if (tensor.defined()) group.broadcast(tensor.detach());
  }
  if (state.shares) state.shares->drop_staged();
  const auto numbers = torch::tensor({static_cast<double>(state.step),
                                      static_cast<double>(state.images_seen),
                                      state.elapsed_sec,
                                      state.loss,
                                      state.lowest_loss},
                                     torch::kFloat64);
  group.broadcast(numbers);
  const double* values = numbers.data_ptr<double>();
  state.step = static_cast<int64_t>(values[0]);  // exact below 2^53
  state.images_seen = static_cast<int64_t>(values[1]);
  state.elapsed_sec = values[2];
  state.loss = values[3];
  state.lowest_loss = values[4];
  group.check_gpu();
}

}  // namespace uvic::app

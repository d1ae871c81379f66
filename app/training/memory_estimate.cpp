#include "app/training/memory_estimate.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <vector>

#include "app/runs/power_profile.h"
#include "app/training/alignment.h"
#include "app/training/optimizer.h"
#include "app/training/state_shares.h"
#include "base/check.h"
#include "base/precision.h"
#include "base/tensor_text.h"
#include "model/network.h"
#include "model/parameter_sizes.h"

namespace uvic::app {
namespace {

constexpr double kFloat = 4;

/// Bytes of a shared state: the most that one process keeps. Parameters are shared whole, so that
/// is more than a part in N where one of them is large.
struct LargestPart {
  double optimizer = 0, average = 0;
};

LargestPart largest_part(const RunConfig& config, int64_t processes) {
  const auto parameters = model::parameter_sizes(config.model);
  std::vector<int64_t> elements;
  for (const auto& one : parameters) elements.push_back(one.elements);
  const auto owners = owners_of(elements, processes);
  const auto& kind = optimizer_kinds().at(config.optimizer.kind);
  std::vector<LargestPart> parts(static_cast<size_t>(processes));
  for (size_t i = 0; i < parameters.size(); ++i) {
    auto& part = parts[static_cast<size_t>(owners[i])];
    const auto count = static_cast<double>(elements[i]);
    part.optimizer +=
        count * (parameters[i].is_hidden ? kind.bytes_per_hidden : kind.bytes_per_other);
    part.average += kFloat * count;
  }
  LargestPart most;
  for (const auto& part : parts) {
    most.optimizer = std::max(most.optimizer, part.optimizer);
    most.average = std::max(most.average, part.average);
  }
  return most;
}

/// One float32 activation between two blocks, of an example.
double bytes_of_patches(const RunConfig& config) {
  const auto block = model::block_shape(config.model);
  return kFloat * static_cast<double>(block.tokens * block.width);
}

}  // namespace

double MemoryEstimate::at_most() const {
  return always() + exchange + weight_copies +
         std::max({activations + backward, gradients, others_average});
}

int64_t images_at_once(const RunConfig& config, int64_t processes) {
  const auto largest = [](int64_t count, int64_t parts) { return (count + parts - 1) / parts; };
  const int64_t together = config.kept_together();
  return largest(largest(config.batch_size / together, processes), config.accumulate) * together;
}

MemoryEstimate estimate_memory(const RunConfig& config,
                               torch::Device device,
                               int64_t shards,
                               const ProcessShare& share) {
  const bool bf16 = base::resolve_precision(config.precision, device) == "bf16";
  const auto parameters =
      static_cast<double>(model::parameter_count(config.model) + alignment_parameters(config));
  MemoryEstimate m;
  m.parameters = m.average = kFloat * parameters;
  m.optimizer = optimizer_state_bytes(config);
  const auto widths = static_cast<double>(parse_widths(config.ema_power).size());
  m.gradients = kFloat * parameters * static_cast<double>(shards);
  if (share.processes > 1) {
    m.exchange = kFloat * parameters;
    // Sent, and received or summed: two numbers of two bytes.
    if (share.is_wire_narrow) m.exchange += 2 * 2 * parameters;
    if (shards == 1) m.gradients = 0;  // each moves to its bucket
  }
  if (share.is_state_shared) {
    const auto most = largest_part(config, share.processes);
    m.optimizer = most.optimizer;
    m.average = most.average;
    if (config.grid_images > 0 || config.score_images > 0)
      m.others_average = kFloat * parameters - m.average;
  }
  m.power_averages = widths * m.average;
  if (device.is_cuda() && bf16) m.weight_copies = 2 * parameters;
  const auto images = static_cast<double>(images_at_once(config, share.processes));
  model::ActivationSettings settings{
      bf16, /*fused_kernels=*/config.kernels != "plain", device.is_cpu()};
  // A run that ends without a bypass takes most at its end.
  if (config.routed_examples(0, config.total_images) == config.total_images)
    settings.pass = {1 - config.route_share, config.route_margin};
  const auto one = model::activation_bytes(config.model, settings);
  m.activations = images * one.kept;
  m.backward = images * one.backward;
  if (config.kept_together() > 1)
    m.activations += images * bytes_of_patches(config);  // about their group's mean
  m.activations += images * alignment_activations(config, bf16 ? 2 : kFloat);
  return m;
}

bool sharing_pays(const MemoryEstimate& whole, const MemoryEstimate& shared) {
  constexpr double kAtLeast = 0.1;
  return whole.at_most() - shared.at_most() > kAtLeast * whole.at_most();
}

double usable_memory() {
  const double machine =
      static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  std::ifstream group("/sys/fs/cgroup/memory.max");  // a number, or "max"
  double limit = 0;
  return group >> limit && limit > 0 ? std::min(machine, limit) : machine;
}

void refuse_too_large(const MemoryEstimate& estimate, double usable) {
  constexpr double kSurely = 1.25;
  base::require(
      estimate.at_most() <= kSurely * usable,
      "a step needs about {}, of which {} at every batch size; {} are usable here; a smaller "
      "--batch_size, more --accumulate or a smaller network needs less",
      base::bytes_text(estimate.at_most()),
      base::bytes_text(estimate.always()),
      base::bytes_text(usable));
}

std::string memory_text(const MemoryEstimate& m, double program) {
  std::string text = "memory in tensors, MiB:\n";
  const auto line = [&](const char* what, double bytes) {
    if (bytes > 0) text += fmt::format("  {:<44}{:>10.1f}\n", what, bytes / (1 << 20));
  };
  line("parameters", m.parameters);
  line("optimizer: averages of the gradient", m.optimizer);
  line("average of the weights", m.average);
  line("power averages of the weights", m.power_averages);
  line("the rest of the average, while it samples", m.others_average);
  line("weights in the dtype of the products", m.weight_copies);
  line("buckets of gradients for other processes", m.exchange);
  line("gradients, at the end of a backward pass", m.gradients);
  line("activations, at its beginning", m.activations);
  line("gradients of activations", m.backward);
  line("peak", m.at_most());
  line("the program itself", program);
  if (program > 0) line("process, at its peak", m.at_most() + program);
  return text;
}

}  // namespace uvic::app

// Schedules given as a list of betas.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "base/check.h"
#include "diffusion/schedule_formula.h"

namespace uvic::diffusion {
namespace {

/// A constant, copied once to each device that uses it: a later step may be recorded as a CUDA
/// graph, which cannot contain a copy from the CPU. Copies of this object share the device copies.
class OnEachDevice {
 public:
  explicit OnEachDevice(torch::Tensor on_cpu) : on_cpu_(std::move(on_cpu)), copies_(new Copies) {}

  torch::Tensor on(torch::Device device) const {
    if (device.is_cpu()) return on_cpu_;
    const std::lock_guard<std::mutex> lock(copies_->mutex);
    auto& copy = copies_->by_device[device.str()];
    if (!copy.defined()) {
      const c10::InferenceMode as_training_needs_it(false);
      copy = on_cpu_.to(device);
    }
    return copy;
  }

 private:
  struct Copies {
    std::mutex mutex;
    std::map<std::string, torch::Tensor> by_device;
  };
  torch::Tensor on_cpu_;
  std::shared_ptr<Copies> copies_;
};

/// log(alpha) from a table at t = n / N, n = 0..N, linear in between.
struct Discrete : VariancePreserving {
  std::vector<double> table;
  OnEachDevice table_tensor{torch::Tensor()};
  double last_time;

  explicit Discrete(const std::vector<double>& betas) : table{0.0} {
    for (const double beta : betas) table.push_back(table.back() + 0.5 * std::log1p(-beta));
    table_tensor = OnEachDevice(torch::tensor(table, torch::kFloat64));
    auto usable = table.size() - 1;
    while (usable > 1 && table[usable] - vp_log_sigma(table[usable]) < -5.1) --usable;
    last_time = usable / steps();
  }
  double steps() const { return static_cast<double>(table.size() - 1); }

  size_t segment(double t) const {
    return static_cast<size_t>(std::clamp(std::floor(t * steps()), 0.0, steps() - 1));
  }
  double log_alpha(double t) const {
    const auto i = segment(t);
    return table[i] + (t * steps() - i) * (table[i + 1] - table[i]);
  }
  torch::Tensor log_alpha(const torch::Tensor& t) const {
    const auto position = t * steps();
    const auto i = position.floor().clamp(0, steps() - 1).to(torch::kInt64);
    const auto values = table_tensor.on(t.device());
    const auto left = values.take(i), right = values.take(i + 1);
    return left + (position - i) * (right - left);
  }
  template <class T>
  T log_sigma(const T& t) const {
    return vp_log_sigma(log_alpha(t));
  }
  double inverse_half_logsnr(double lambda) const {
    const double wanted = vp_log_alpha(lambda);
    const auto right =
        std::lower_bound(table.begin() + 1, table.end() - 1, wanted, std::greater<>());
    return ((right - table.begin()) - (wanted - *right) / (*(right - 1) - *right)) / steps();
  }
  torch::Tensor inverse_half_logsnr(const torch::Tensor& lambda) const {
    if (!lambda.is_cpu())
      return position_in_table(table_tensor.on(lambda.device()), lambda) / steps();
    auto t =
        lambda.to(torch::kCPU, torch::kFloat64, /*non_blocking=*/false, /*copy=*/true).contiguous();
    for (auto* value = t.data_ptr<double>(); value != t.data_ptr<double>() + t.numel(); ++value)
      *value = inverse_half_logsnr(*value);
    return t.to(lambda.device());
  }
  double drift_rate(double t) const {
    const auto i = segment(t);
    return (table[i + 1] - table[i]) * steps();
  }
  double squared_diffusion(double t) const { return -2 * drift_rate(t); }
  double t_min() const { return 1 / steps(); }
  double t_min_fine() const { return t_min(); }
  double t_max() const { return last_time; }
  double time_unit() const { return steps(); }
  template <class T>
  T time_variable(const T& t) const {
    return t;
  }
  template <class T>
  T at_fraction(const T& u) const {  // n = floor(u N) + 1, uniform in 1..N
    using std::floor;
    return (floor(u * steps()) + 1.0) / steps();
  }
};

}  // namespace

torch::Tensor position_in_table(const torch::Tensor& log_alphas, const torch::Tensor& lambda) {
  const auto x = -2.0 * lambda.to(torch::kFloat64);
  // vp_log_alpha() with the scalar form of log1p_exp(): logaddexp loses digits of small numbers.
  const auto wanted = -0.5 * (x.clamp_min(0) + (-x.abs()).exp().log1p());
  const auto right = torch::searchsorted(-log_alphas.slice(0, 1, -1), -wanted) + 1;  // 1..N
  const auto at_right = log_alphas.take(right), at_left = log_alphas.take(right - 1);
  return right - (wanted - at_right) / (at_left - at_right);
}

std::shared_ptr<const NoiseSchedule> make_discrete_schedule(const std::vector<double>& betas,
                                                            double time_scale,
                                                            double time_offset) {
  base::require(betas.size() >= 2,
                fmt::format("discrete schedule: {} betas; give at least 2", betas.size()));
  for (size_t i = 0; i < betas.size(); ++i)
    base::require(
        betas[i] > 0 && betas[i] < 1,
        fmt::format(
            "discrete schedule: beta number {} is {}; give numbers in (0, 1)", i + 1, betas[i]));
  return make_schedule(Discrete(betas), time_scale, time_offset);
}

}  // namespace uvic::diffusion

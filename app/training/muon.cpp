#include "app/training/muon.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "app/training/adamw.h"
#include "base/check.h"
#include "base/parallel.h"
#include "base/precision.h"

namespace uvic::app {
namespace {

/// One matrix: rows of a parameter, of its momentum and of its average. Their memory is shared.
struct HiddenMatrix {
  size_t parameter;
  int64_t begin, end;  ///< rows
};

class Muon : public Optimizer {
 public:
  Muon(const OptimizerConfig& config, const OptimizedTensors& tensors)
      : config_(config), all_(tensors) {
    OptimizedTensors rest;
    bool has_matrices = false;
    for (size_t i = 0; i < all_.parameters.size(); ++i) {
      const auto& p = all_.parameters[i];
      const int64_t stacked = i < all_.matrices.size() ? all_.matrices[i] : 0;
      momentum_.emplace_back();
      if (stacked == 0) {
        rest_.push_back(i);
        rest.parameters.push_back(p), rest.averages.push_back(all_.averages[i]);
        rest.own.push_back(all_.is_own(i)), rest.rate_factors.push_back(all_.rate_factor(i));
        continue;
      }
      has_matrices = true;
      momentum_.back() = all_.zeros_of(i);
      if (!all_.is_own(i)) continue;
      const int64_t rows = p.size(0) / stacked;
      for (int64_t part = 0; part < stacked; ++part)
        matrices_.push_back({i, part * rows, (part + 1) * rows});
    }
    base::require(
        has_matrices,
        "--optimizer.kind muon: this network has no matrices of hidden layers for it; give adamw");
    auto of_rest = config;
    of_rest.grad_clip = 0;  // done here, for all
    adamw_ = make_adamw(of_rest, rest);
    compute_ =
        base::compute_dtype(base::resolve_precision("auto", all_.parameters.front().device()));
  }

  std::vector<TensorSet> state() const override {
    std::vector<TensorSet> sets = {{"momentum", momentum_}};
    for (const auto& set : adamw_->state()) {
      sets.push_back({set.name, std::vector<torch::Tensor>(momentum_.size())});
      for (size_t i = 0; i < rest_.size(); ++i) sets.back().tensors[rest_[i]] = set.tensors[i];
    }
    return sets;
  }

  double step(const OptimizerStep& step) override {
    const torch::NoGradGuard no_grad;
    const double norm = gradient_norm_of(all_.parameters);
    if (config_.grad_clip > 0 && norm > config_.grad_clip)
      for (const auto& p : all_.parameters)
        if (p.grad().defined()) p.grad().mul_(config_.grad_clip / norm);
    const double rate = config_.lr > 0 ? config_.muon_lr * step.lr / config_.lr : 0;
    const auto update = [&](int64_t i) {
      const torch::NoGradGuard of_thread;
      update_matrix(matrices_[static_cast<size_t>(i)], rate, step.ema_decay);
    };
    const auto count = static_cast<int64_t>(matrices_.size());
    if (all_.parameters.front().is_cpu())
      base::side_by_side(count, at::get_num_threads(), update);
    else
      for (int64_t i = 0; i < count; ++i) update(i);
    for (size_t i = 0; i < momentum_.size(); ++i)
      if (momentum_[i].defined())
        torch::Tensor(all_.parameters[i]).mutable_grad() = torch::Tensor();
    adamw_->step(step);
    return norm;
  }

 private:
  void update_matrix(const HiddenMatrix& matrix, double rate, double ema_decay) {
    const auto rows = [&](const torch::Tensor& t) { return t.slice(0, matrix.begin, matrix.end); };
    const auto& parameter = all_.parameters[matrix.parameter];
    auto p = rows(parameter.detach()), average = rows(all_.averages[matrix.parameter]);
    if (parameter.grad().defined()) {
      const auto g = rows(parameter.grad());
      auto m = rows(momentum_[matrix.parameter]);
      m.lerp_(g, 1 - config_.muon_momentum);
      const auto u = torch::lerp(g, m, config_.muon_momentum);
      p.mul_(1 - rate * config_.muon_weight_decay);
      const double factor = muon_scales().at(config_.muon_scale).factor(p.size(0), p.size(1));
      p.sub_(orthogonalised(u, config_.muon_iterations, compute_), rate * factor);
    }
    average.lerp_(p, 1 - ema_decay);
  }

  OptimizerConfig config_;
  OptimizedTensors all_;
  std::vector<HiddenMatrix> matrices_;
  std::vector<size_t> rest_;             ///< the parameters of adamw_, by their number in all_
  std::vector<torch::Tensor> momentum_;  ///< undefined for the rest
  std::unique_ptr<Optimizer> adamw_;
  torch::Dtype compute_ = torch::kFloat32;
};

}  // namespace

torch::Tensor orthogonalised(const torch::Tensor& m, int64_t iterations, torch::Dtype compute) {
  constexpr double kA = 3.4445, kB = -4.7750, kC = 2.0315, kLeastNorm = 1e-30;
  const auto wide = m.to(torch::kFloat32);
  const bool is_tall = m.size(0) > m.size(1);
  auto x = (wide / wide.norm().clamp_min(kLeastNorm)).to(compute);
  if (is_tall) x = x.t().contiguous();
  for (int64_t i = 0; i < iterations; ++i) {
    const auto a = torch::mm(x, x.t());            // [rows, rows]
    const auto b = torch::addmm(a, a, a, kB, kC);  // b A + c A^2
    x = torch::addmm(x, b, x, kA, 1);
  }
  return (is_tall ? x.t() : x).to(torch::kFloat32);
}

base::Table<MuonScale>& muon_scales() {
  static base::Table<MuonScale> scales(
      "optimizer.muon_scale",
      {
          {"spectral",
           "sqrt(max(1, rows / columns)): activations change alike in layers of every width",
           [](int64_t rows, int64_t columns) {
             return std::sqrt(
                 std::max(1.0, static_cast<double>(rows) / static_cast<double>(columns)));
           }},
          {"rms",
           "0.2 sqrt(max(rows, columns)): the size of AdamW's updates, for its rates",
           [](int64_t rows, int64_t columns) {
             return 0.2 * std::sqrt(static_cast<double>(std::max(rows, columns)));
           }},
      });
  return scales;
}

std::vector<base::Choice> muon_scale_choices() { return muon_scales().choices(); }

std::unique_ptr<Optimizer> make_muon(const OptimizerConfig& config,
                                     const OptimizedTensors& tensors) {
  return std::make_unique<Muon>(config, tensors);
}

}  // namespace uvic::app

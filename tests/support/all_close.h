// AllClose: a tensor equals another up to rtol * |expected| + atol, or the message tells by how
// much not.
#pragma once

#include <string>
#include <utility>

#include "base/torch.h"
#include "tests/support/catch.h"

namespace uvic::test {

/// Relative L2 distance |a - b| / |b| in float64; |a - b| where b is zero.
inline double relative_l2(const torch::Tensor& a, const torch::Tensor& b) {
  const auto x = a.detach().to(torch::kCPU, torch::kFloat64),
             y = b.detach().to(torch::kCPU, torch::kFloat64);
  const double norm = y.norm().item<double>();
  return (x - y).norm().item<double>() / (norm > 0 ? norm : 1.0);
}

class AllClose : public MatcherBase<torch::Tensor> {
 public:
  AllClose(torch::Tensor expected, double rtol, double atol)
      : expected_(std::move(expected)), rtol_(rtol), atol_(atol) {}

  bool match(const torch::Tensor& actual) const override {
    return actual.sizes() == expected_.sizes() &&
           torch::allclose(actual.to(torch::kFloat64), expected_.to(torch::kFloat64), rtol_, atol_);
  }
  std::string describe() const override {
    return "is close to\n" + (std::ostringstream() << expected_).str() + "\n(rtol " +
           std::to_string(rtol_) + ", atol " + std::to_string(atol_) + ")";
  }

 private:
  torch::Tensor expected_;
  double rtol_, atol_;
};

}  // namespace uvic::test

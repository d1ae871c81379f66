#include "metrics/statistics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "base/parallel.h"
#include "data/formats/npy.h"

namespace uvic::metrics {
namespace {

constexpr int64_t kBlockRows = 256;

torch::Tensor scatter_of(const torch::Tensor& rows, const torch::Tensor& mean) {
  const base::OneThread alone;
  const auto centred = rows - mean;
  return centred.t().mm(centred);
}

}  // namespace

StatisticsAccumulator::StatisticsAccumulator(int64_t dimensions)
    : mean_(torch::zeros({dimensions}, torch::kFloat64)),
      scatter_(torch::zeros({dimensions, dimensions}, torch::kFloat64)),
      pending_(torch::empty({kBlockRows, dimensions}, torch::kFloat64)) {}

void StatisticsAccumulator::add(const torch::Tensor& features) {
  torch::NoGradGuard no_grad;
  if (features.dim() != 2 || features.size(1) != mean_.size(0))
    throw std::invalid_argument(
        fmt::format("statistics: features are {}-dimensional with {} values, want [N, {}]",
                    features.dim(),
                    features.numel(),
                    mean_.size(0)));
  const auto rows = features.detach().to(torch::kCPU, torch::kFloat64);
  const auto finite = rows.isfinite().all(1);
  if (!finite.all().item<bool>())
    throw std::runtime_error(
        fmt::format("statistics: the features of picture {} hold NaN or infinity",
                    count() + finite.to(torch::kInt32).argmin().item<int64_t>()));
  for (int64_t begin = 0; begin < rows.size(0);) {
    const auto n = std::min(kBlockRows - pending_rows_, rows.size(0) - begin);
    pending_.narrow(0, pending_rows_, n).copy_(rows.narrow(0, begin, n));
    pending_rows_ += n;
    begin += n;
    if (pending_rows_ == kBlockRows) flush();
  }
}

void StatisticsAccumulator::flush() {
  if (pending_rows_ == 0) return;
  const auto rows = pending_.narrow(0, 0, pending_rows_);
  const auto mean = rows.mean(0);
  join(mean, scatter_of(rows, mean), pending_rows_);
  pending_rows_ = 0;
}

void StatisticsAccumulator::join(const torch::Tensor& mean,
                                 const torch::Tensor& scatter,
                                 int64_t count) {
  const double total = static_cast<double>(count_ + count);
  const auto delta = mean - mean_;
  mean_ = mean_ + delta * (static_cast<double>(count) / total);
  scatter_ += scatter;
  scatter_.addr_(delta, delta, 1, static_cast<double>(count_) * static_cast<double>(count) / total);
  count_ += count;
}

void StatisticsAccumulator::merge(const StatisticsAccumulator& other) {
  torch::NoGradGuard no_grad;
  if (other.mean_.size(0) != mean_.size(0))
    throw std::invalid_argument(fmt::format(
        "statistics: can't merge {} features into {}", other.mean_.size(0), mean_.size(0)));
  flush();
  if (other.count_ > 0) join(other.mean_, other.scatter_, other.count_);
  if (other.pending_rows_ > 0) add(other.pending_.narrow(0, 0, other.pending_rows_));
}

FeatureStatistics StatisticsAccumulator::finish() const {
  torch::NoGradGuard no_grad;
  if (count() < 2)
    throw std::runtime_error(fmt::format("statistics: {} picture{}; a covariance needs at least 2",
                                         count(),
                                         count() == 1 ? "" : "s"));
  StatisticsAccumulator whole = *this;
  whole.scatter_ = scatter_.clone();  // flush adds in place; copies of tensors share storage
  whole.flush();
  FeatureStatistics result;
  result.mean = whole.mean_;
  result.covariance = whole.scatter_ / static_cast<double>(whole.count_ - 1);
  result.count = whole.count_;
  return result;
}

FeatureStatistics read_statistics(const std::filesystem::path& path) {
  const formats::NpzFile file(path);
  const auto fail = [&](const std::string& what) {
    throw std::runtime_error(
        fmt::format("{}: {}; statistics hold mu [D] and sigma [D, D]", path.string(), what));
  };
  for (const char* name : {"mu", "sigma"})
    if (!file.has(name)) fail(fmt::format("no array {}", name));
  FeatureStatistics s;
  s.mean = file.read("mu").to(torch::kFloat64).clone();
  s.covariance = file.read("sigma").to(torch::kFloat64).clone();
  const auto d = s.mean.numel();
  if (s.mean.dim() != 1 || d == 0 || s.covariance.sizes() != at::IntArrayRef({d, d}))
    fail(fmt::format(
        "mu is {}, sigma is {}", c10::str(s.mean.sizes()), c10::str(s.covariance.sizes())));
  if (!s.mean.isfinite().all().item<bool>() || !s.covariance.isfinite().all().item<bool>())
    fail("the arrays hold NaN or infinity");
  if (!torch::allclose(s.covariance, s.covariance.t(), 1e-5, 1e-8)) fail("sigma is not symmetric");
  if (file.has("count")) {
    const auto count = file.read("count");
    if (count.numel() != 1 || !torch::isIntegralType(count.scalar_type(), false))
      fail("count is no integer");
    s.count = count.item<int64_t>();
  }
  if (file.has("provenance")) {
    const auto bytes = file.read("provenance").contiguous();
    if (bytes.scalar_type() != torch::kUInt8) fail("provenance is not bytes");
    s.provenance.assign(reinterpret_cast<const char*>(bytes.data_ptr<uint8_t>()), bytes.numel());
  }
  return s;
}

std::map<std::string, torch::Tensor> statistics_arrays(const FeatureStatistics& statistics,
                                                       const std::string& provenance) {
  auto bytes = torch::empty({static_cast<int64_t>(provenance.size())}, torch::kUInt8);
  std::memcpy(bytes.data_ptr<uint8_t>(), provenance.data(), provenance.size());
  return {{"mu", statistics.mean},
          {"sigma", statistics.covariance},
          {"count", torch::tensor(statistics.count)},
          {"provenance", bytes}};
}

void write_statistics(const std::filesystem::path& path, const FeatureStatistics& statistics) {
  formats::write_npz(path, statistics_arrays(statistics, statistics.provenance));
}

}  // namespace uvic::metrics

#include "metrics/statistics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "base/parallel.h"
#include "data/formats/npy.h"
#include "metrics/array_source.h"

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
        fmt::format("statistics: the features of image {} hold NaN or infinity",
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
    throw std::runtime_error(fmt::format(
        "statistics: {} image{}; a covariance needs at least 2", count(), count() == 1 ? "" : "s"));
  StatisticsAccumulator whole = *this;
  whole.scatter_ = scatter_.clone();  // flush adds in place; copies of tensors share storage
  whole.flush();
  FeatureStatistics result;
  result.mean = whole.mean_;
  result.covariance = whole.scatter_ / static_cast<double>(whole.count_ - 1);
  result.count = whole.count_;
  return result;
}

namespace {

constexpr double kAsymmetry = 1e-5;  // in units of the largest variance
constexpr double kRounding = 1e-14;  // the same; of sums in float64, which are left as they are

std::runtime_error statistics_error(const std::string& path, const std::string& what) {
  return std::runtime_error(
      fmt::format("{}: {}; statistics hold mu [D] and sigma [D, D]", path, what));
}

/// Mean and covariance under two names, checked.
/// Whether no eigenvalue is below 0 by more than rounding of elements of that many bytes explains:
/// a shift by that much makes the matrix positive definite.
bool is_covariance(const torch::Tensor& s, size_t element_bytes) {
  const double rounding = element_bytes >= 8 ? 1e-9 : element_bytes == 4 ? 1e-6 : 1e-2;
  const double shift = rounding * s.norm().item<double>();
  if (shift == 0) return true;
  const base::OneThread alone;
  const auto shifted = s + shift * torch::eye(s.size(0), s.options());
  return std::get<1>(torch::linalg_cholesky_ex(shifted)).item<int>() == 0;
}

FeatureStatistics read_gaussian(const ArrayFile& file,
                                const std::string& mean,
                                const std::string& covariance) {
  FeatureStatistics s;
  s.mean = file.read(mean).to(torch::kFloat64).clone();
  const auto given = file.read(covariance).to(torch::kFloat64);
  if (s.mean.numel() == 0) throw statistics_error(file.path(), mean + " is empty");
  if (!s.mean.isfinite().all().item<bool>() || !given.isfinite().all().item<bool>())
    throw statistics_error(file.path(), "the arrays hold NaN or infinity");
  const double largest = given.diagonal().abs().max().item<double>();
  const double asymmetry = (given - given.t()).abs().max().item<double>();
  if (asymmetry > kAsymmetry * largest)
    throw statistics_error(file.path(), covariance + " is not symmetric");
  s.covariance = asymmetry > kRounding * largest ? (given + given.t()) / 2 : given.clone();
  if (!is_covariance(s.covariance, c10::elementSize(file.read(covariance).scalar_type())))
    throw statistics_error(file.path(), covariance + " has negative eigenvalues: not a covariance");
  return s;
}

/// The file of statistics at `path`, and which arrays they are.
std::pair<ArrayFile, ArrayRoles> open_statistics(const std::filesystem::path& path) {
  auto source = array_path(path.string());
  if (source.path.empty()) source.path = path.string();
  auto roles = recognise_arrays(source);
  if (!roles.is_statistics())
    throw statistics_error(source.path, "no statistics (" + roles.text + ")");
  return {ArrayFile(source.path), std::move(roles)};
}

}  // namespace

FeatureStatistics read_statistics(const std::filesystem::path& path) {
  const auto [file, roles] = open_statistics(path);
  auto s = read_gaussian(file, roles.mean, roles.covariance);
  if (file.has("count")) {
    const auto count = file.read("count");
    if (count.numel() != 1 || !torch::isIntegralType(count.scalar_type(), false))
      throw statistics_error(file.path(), "count is not an integer");
    s.count = count.item<int64_t>();
  }
  if (file.has("provenance")) {
    const auto bytes = file.read("provenance").contiguous();
    if (bytes.scalar_type() != torch::kUInt8)
      throw statistics_error(file.path(), "provenance is not bytes");
    s.provenance.assign(reinterpret_cast<const char*>(bytes.data_ptr<uint8_t>()), bytes.numel());
  }
  return s;
}

std::optional<FeatureStatistics> read_spatial_statistics(const std::filesystem::path& path) {
  const auto [file, roles] = open_statistics(path);
  if (roles.spatial_mean.empty()) return std::nullopt;
  return read_gaussian(file, roles.spatial_mean, roles.spatial_covariance);
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

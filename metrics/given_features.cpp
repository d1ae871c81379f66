#include "metrics/given_features.h"

#include <stdexcept>

namespace uvic::metrics {
namespace {

class GivenExtractor : public FeatureExtractor {
 public:
  explicit GivenExtractor(GivenFeatures given) : given_(std::move(given)) {}

  std::string name() const override { return given_.name; }
  std::string distance_name() const override {
    return given_.name.rfind("inception-v3/", 0) == 0 ? "FID" : "FD";
  }
  std::string weights_sha256() const override { return given_.sha256; }
  std::string resize() const override { return given_.resize; }
  std::string precision() const override { return given_.precision; }
  int64_t dimensions() const override { return given_.dimensions; }
  int64_t spatial_dimensions() const override { return given_.spatial_dimensions; }
  int64_t num_classes() const override { return given_.num_classes; }
  Activations activations(const torch::Tensor&) const override {
    throw std::logic_error("features that are given as a file can't be computed");
  }

 private:
  GivenFeatures given_;
};

}  // namespace

std::unique_ptr<FeatureExtractor> make_given_features(const GivenFeatures& given) {
  return std::make_unique<GivenExtractor>(given);
}

}  // namespace uvic::metrics

// The measurements of `uvic bench`. Each prints a table and returns its numbers.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "app/bench/bench.h"
#include "app/bench/machine.h"
#include "app/bench/network.h"
#include "base/torch.h"

namespace uvic::app {

struct Bench {
  const BenchOptions& options;
  torch::Device device;
  MachineLimits machine;
  std::vector<std::unique_ptr<BenchNetwork>> networks;

  torch::Dtype dtype() const { return networks.front()->dtype(); }
};

/// Training steps of all networks, alternating, with fused kernels and with plain tensor code.
nlohmann::json bench_step(const Bench& bench);
/// One evaluation without gradients, in the same way.
nlohmann::json bench_evaluation(const Bench& bench);
/// Generation of whole images.
nlohmann::json bench_sampling(const Bench& bench);
/// Steps and evaluations as a function of batch size and number of threads.
nlohmann::json bench_scaling(const Bench& bench);
/// The time of a step and of an evaluation by kernel.
nlohmann::json bench_profile(const Bench& bench);
/// Softmax and Cog, forward and with gradients, as a function of length.
nlohmann::json bench_attention(const Bench& bench);
/// The products of the first network, forward and gradients.
nlohmann::json bench_products(const Bench& bench);
/// The feature networks of the metrics.
nlohmann::json bench_features(const Bench& bench);
/// Encoding and decoding of one image by a KL autoencoder.
nlohmann::json bench_autoencoder(const Bench& bench);
/// The loading of training batches.
nlohmann::json bench_data(const Bench& bench);

/// The numbers of `option`, --tokens or --batches, from `text`. Throws std::invalid_argument.
std::vector<int64_t> bench_numbers(const char* option, const std::string& text);

}  // namespace uvic::app

// The parts of `uvic bench`, each a table and its numbers.
#pragma once

#include <torch/torch.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "app/bench/bench.h"
#include "app/bench/machine.h"
#include "app/bench/network.h"

namespace uvic::app {

struct Bench {
  const BenchOptions& options;
  torch::Device device;
  MachineLimits machine;
  std::vector<std::unique_ptr<BenchNetwork>> networks;

  torch::Dtype dtype() const { return networks.front()->dtype(); }
};

/// Training steps of all networks in turns, fused and plain.
nlohmann::json bench_step(const Bench& bench);
/// One evaluation without gradients, as above.
nlohmann::json bench_evaluation(const Bench& bench);
/// Whole pictures.
nlohmann::json bench_sampling(const Bench& bench);
/// Steps and evaluations against batch size and number of threads.
nlohmann::json bench_scaling(const Bench& bench);
/// Where the time of a step and of an evaluation goes.
nlohmann::json bench_profile(const Bench& bench);
/// Softmax and Cog, forward and with gradients, against length.
nlohmann::json bench_attention(const Bench& bench);
/// The first network's products, forward and gradients.
nlohmann::json bench_products(const Bench& bench);
/// Feature networks of the metrics.
nlohmann::json bench_features(const Bench& bench);
/// Loading of training batches.
nlohmann::json bench_data(const Bench& bench);

/// The numbers of --tokens or --batches, `option`. Throws std::invalid_argument.
std::vector<int64_t> bench_numbers(const char* option, const std::string& text);

}  // namespace uvic::app

// All that a run is at one moment: weights, their average, the optimiser, how far it has come.
// Saved whole, resumed bit for bit.
#pragma once

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "app/runs/run_config.h"
#include "app/runs/run_identity.h"
#include "app/training/alignment.h"
#include "app/training/optimizer.h"
#include "app/training/state_shares.h"
#include "base/torch.h"
#include "data/formats/safetensors.h"
#include "model/network.h"

namespace uvic::app {

struct TrainState {
  /// Fresh weights of `seed`, the average a copy of them, the optimizer at rest.
  ///
  /// `group`: its processes share the state. Each has the average and the optimizer's tensors of
  /// its own parameters (StateShares), and all call step(), with_whole_average(), save() and
  /// save_weights(); these throw base::ProcessLost. Null: all is here.
  TrainState(const model::NetworkConfig& config,
             const OptimizerConfig& optimizer,
             uint64_t seed,
             torch::Device device,
             base::ProcessGroup* group = nullptr,
             int64_t head_width = 0);
  /// The same of a run's config, with the head of its alignment_loss and the power averages that it
  /// asks for.
  TrainState(const RunConfig& config, torch::Device device, base::ProcessGroup* group = nullptr);

  model::NetworkPtr model;
  /// The average: same names of parameters, no gradients. Of a shared state it has all parameters
  /// only in with_whole_average().
  model::NetworkPtr ema;
  /// Trained with the network and left out of its average and its weights; null: none. Names of its
  /// parameters begin with "alignment_head.".
  AlignmentHead head{nullptr};
  std::vector<std::string> names;
  std::vector<torch::Tensor> parameters, averages;  ///< float32, in the order of `names`
  /// An average by a power of the images seen (power_profile.h), like `averages`.
  struct PowerAverage {
    double width, power;
    std::vector<torch::Tensor> tensors;
  };
  std::vector<PowerAverage> power_averages;
  std::unique_ptr<StateShares> shares;  ///< null: this process has all
  std::unique_ptr<Optimizer> optimizer;
  int64_t step = 0;
  int64_t images_seen = 0;
  double elapsed_sec = 0;
  double loss = std::numeric_limits<double>::quiet_NaN();        ///< mean since the save before
  double lowest_loss = std::numeric_limits<double>::infinity();  ///< of those means

  /// Whether `loss` is finite and at most twice the lowest so far, or 0 where that is negative: a
  /// state to go back to.
  bool loss_is_sane() const {
    return std::isfinite(loss) && loss <= lowest_loss + std::abs(lowest_loss);
  }

  /// Optimizer::step(); of a shared state everyone then gets the weights that the others updated.
  double update(const OptimizerStep& step);

  /// The power averages follow the weights of a step of so many images, which are in images_seen
  /// already. The first step fills them, whatever they held.
  void update_power_averages(int64_t batch_images);

  /// Calls work() while `ema` has all parameters: in every process of a shared state, or without
  /// `here` in others than this one.
  void with_whole_average(bool here, const std::function<void()>& work);

  /// A set of tensors, one for each parameter, under the prefix of its names in state files.
  struct Set {
    std::string prefix;
    std::vector<torch::Tensor> tensors;  ///< as TensorSet::tensors
  };
  /// "model.", "ema.", for each power average "power.WIDTH." and, for each set that the optimizer
  /// keeps, "optimizer.SET.".
  std::vector<Set> sets() const;

  /// A tensor of a set becomes `value`; where another process keeps it, share_state() sends it.
  void fill(const Set& set, size_t parameter, const torch::Tensor& value);

  /// Tensors of sets(); numbers as metadata. `metadata` travels along (config, data fingerprint).
  ///
  /// Of a shared state the first process writes what the others send, tensor by tensor: in them the
  /// path is not used.
  void save(const std::filesystem::path& path, std::map<std::string, std::string> metadata) const;

  /// Throws std::runtime_error naming the file if it is no training state or one of another model
  /// or optimizer. Of a shared state to be called by the first process, before share_state().
  void load(const std::filesystem::path& path);

  /// The average alone, under the official names: what sampling reads and what other programs open.
  /// The same of a shared state.
  void save_weights(const std::filesystem::path& path,
                    std::map<std::string, std::string> metadata) const;

  /// Each power average alone, as save_weights() does, to the path of its width. Its metadata have
  /// the width as uvic.ema_width. In processes that do not write, the paths are not asked for.
  void save_power_averages(const std::function<std::filesystem::path(double width)>& path_of,
                           const std::map<std::string, std::string>& metadata) const;

 private:
  void add_head(int64_t width, torch::Device device);
  std::vector<torch::Tensor> of_network(std::vector<torch::Tensor> tensors) const;
  bool writes() const { return !shares || shares->group().is_first(); }
  std::map<std::string, formats::MadeTensor> made_tensors(const Set& set,
                                                          const std::string& prefix) const;
  void write_average(const std::filesystem::path& path,
                     const std::vector<torch::Tensor>& tensors,
                     std::map<std::string, std::string> metadata) const;
  void write(const std::filesystem::path& path,
             const std::map<std::string, formats::MadeTensor>& tensors,
             std::map<std::string, std::string> metadata) const;
};

}  // namespace uvic::app

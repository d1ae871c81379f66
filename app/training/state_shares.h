// A training state of which each process keeps a part: ZeRO, stage 1.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/process_group.h"
#include "base/torch.h"

namespace uvic::app {

/// For each parameter of so many elements the process that updates it: the largest first, each to
/// the process that has fewest elements so far. The same in every process.
std::vector<int64_t> owners_of(const std::vector<int64_t>& elements, int64_t processes);

/// Who of a group has the average and the optimizer's tensors of a parameter. All have all weights:
/// after a step each process sends those that it has updated to the others.
///
/// Parameters are updated whole, by the kernels that update them in one process, from gradients and
/// a norm that all processes have: the bits are those of a state that every process has whole.
/// Source: Rajbhandari et al. 2020, arXiv:1910.02054 (stage 1).
class StateShares {
 public:
  /// The parameters, contiguous float32 on one device, move to one piece of memory, owner by owner,
  /// which is sent in chunks. The group outlives this object.
  StateShares(base::ProcessGroup& group, const std::vector<torch::Tensor>& parameters);

  int64_t owner(size_t parameter) const { return owners_[parameter]; }
  bool is_own(size_t parameter) const { return owner(parameter) == group_.rank(); }
  /// is_own() of every parameter.
  std::vector<bool> own() const;
  base::ProcessGroup& group() const { return group_; }

  /// Every process gets the parameters that the others have updated. Throws base::ProcessLost.
  void share_parameters() const;
  /// Bytes of parameters that share_parameters() sends and receives, this process's among them.
  int64_t bytes() const { return static_cast<int64_t>(weights_.nbytes()); }

  /// The share of all parameters' numbers that the process with the most keeps: 1/N at least.
  double largest_part() const;

  /// The tensor of a parameter that its owner has: `own` there, a new one elsewhere. All processes
  /// make the same calls in the same order. Throws base::ProcessLost.
  torch::Tensor whole(const torch::Tensor& own, size_t parameter) const;

  /// What the first process has read of tensors that others keep, until share_state() (job.h).
  void stage(const std::string& set, const std::string& name, const torch::Tensor& value);
  /// Whether the first process has read tensors of a set that others keep.
  bool is_staged(const std::string& set) const { return staged_sets_.count(set) > 0; }
  /// Of a set and a name, as stage() was given them.
  torch::Tensor staged(const std::string& set, const std::string& name) const {
    return staged_.at(set + name);
  }
  void drop_staged();

 private:
  struct Chunk {
    int64_t owner;
    torch::Tensor weights;
  };
  base::ProcessGroup& group_;
  const std::vector<torch::Tensor> parameters_;
  std::vector<int64_t> owners_;
  torch::Tensor weights_;
  std::vector<Chunk> chunks_;
  std::map<std::string, torch::Tensor> staged_;
  std::set<std::string> staged_sets_;
};

}  // namespace uvic::app

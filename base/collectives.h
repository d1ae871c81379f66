// Sums and copies of tensors over processes, by LibTorch's c10d.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/process_place.h"
#include "base/tensor_fwd.h"

namespace uvic::base {

/// Called once by a thread of the library: with "", or with what failed.
using Done = std::function<void(const std::string& error)>;

/// Calls begin in the same order in every process and return at once. Tensors are contiguous, on
/// the CPU, and belong to the call until it is done.
class Collectives {
 public:
  virtual ~Collectives() = default;
  /// `tensor` becomes the sum over all processes, of equal bits in each; their number and the size
  /// of the tensor determine the order of the sum.
  virtual void sum(torch::Tensor tensor, Done done) = 0;
  /// `tensor` becomes that of process `from`.
  virtual void broadcast(torch::Tensor tensor, int64_t from, Done done) = 0;
  /// all[r] becomes `own` of process r: [size, ...].
  virtual void gather(torch::Tensor own, torch::Tensor all, Done done) = 0;
  /// from_all[r] becomes to_all[own rank] of process r. Both are bytes, [size, n].
  virtual void exchange(torch::Tensor to_all, torch::Tensor from_all, Done done) = 0;
};

/// Where the processes exchange their addresses; rank 0 has it.
class AddressStore {
 public:
  virtual ~AddressStore() = default;
  virtual int64_t port() const = 0;
};

/// Whether this build has c10d.
bool has_collectives();

/// The store of rank 0, at a free port. Like what follows, throws std::runtime_error in a build
/// without c10d.
std::unique_ptr<AddressStore> open_address_store();

/// Connects every process with every other. `own_address`: where this one listens. Throws
/// std::runtime_error.
std::unique_ptr<Collectives> connect_collectives(const ProcessPlace& place,
                                                 const std::string& store_host,
                                                 int64_t store_port,
                                                 const std::string& own_address,
                                                 double timeout_sec);

/// Through the store of torchrun's agent: the port at which rank 0 listens.
void publish_port(const ProcessPlace& place, int64_t port, double timeout_sec);
int64_t published_port(const ProcessPlace& place, double timeout_sec);

}  // namespace uvic::base

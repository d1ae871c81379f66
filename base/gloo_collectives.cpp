// collectives.h by Gloo, over TCP.
#include <fmt/format.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include <chrono>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <utility>
#include <vector>

#include "base/collectives.h"
#include "base/tcp_store.h"
#include "base/text_format.h"

namespace uvic::base {
namespace {

using c10d::ProcessGroupGloo;

std::chrono::milliseconds milliseconds(double seconds) {
  return std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
}

std::string message_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    return first_line(e.what());
  } catch (...) {
    return "unknown error";
  }
}

class TcpAddressStore : public AddressStore {
 public:
  TcpAddressStore() {
    store_ = c10::make_intrusive<c10d::TCPStore>("127.0.0.1",
                                                 tcp_store_options(/*port=*/0, /*is_server=*/true));
  }
  int64_t port() const override { return store_->getPort(); }

 private:
  c10::intrusive_ptr<c10d::TCPStore> store_;
};

// A collective may wait for as long as another process is at work: whether it still lives is for
// the process group to know (process_monitor.h).
constexpr double kPatience_sec = 30 * 24 * 3600;

class GlooCollectives : public Collectives {
 public:
  GlooCollectives(const ProcessPlace& place,
                  const std::string& store_host,
                  int64_t store_port,
                  const std::string& own_address,
                  double timeout_sec) {
    const auto options = ProcessGroupGloo::Options::create(milliseconds(kPatience_sec));
    const char* interface = std::getenv("GLOO_SOCKET_IFNAME");
    options->devices.push_back(
        interface && *interface ? ProcessGroupGloo::createDeviceForInterface(interface)
                                : ProcessGroupGloo::createDeviceForHostname(own_address));
    options->threads = 2;
    group_ =
        c10::make_intrusive<ProcessGroupGloo>(tcp_store_client(store_host, store_port, timeout_sec),
                                              static_cast<int>(place.rank),
                                              static_cast<int>(place.size),
                                              options);
  }

  void sum(torch::Tensor tensor, Done done) override {
    std::vector<torch::Tensor> tensors = {std::move(tensor)};
    follow(group_->allreduce(tensors), std::move(done));
  }

  void broadcast(torch::Tensor tensor, int64_t from, Done done) override {
    std::vector<torch::Tensor> tensors = {std::move(tensor)};
    c10d::BroadcastOptions options;
    options.rootRank = static_cast<int>(from);
    follow(group_->broadcast(tensors, options), std::move(done));
  }

  void gather(torch::Tensor own, torch::Tensor all, Done done) override {
    std::vector<torch::Tensor> inputs = {std::move(own)};
    std::vector<std::vector<torch::Tensor>> outputs = {all.unbind(0)};
    follow(group_->allgather(outputs, inputs), std::move(done));
  }

  void exchange(torch::Tensor to_all, torch::Tensor from_all, Done done) override {
    std::vector<int64_t> equal_parts;
    follow(group_->alltoall_base(from_all, to_all, equal_parts, equal_parts), std::move(done));
  }

 private:
  template <class Work>
  static void follow(const Work& work, Done done) {
    // The work lives as long as its future's callback.
    work->getFuture()->addCallback([work, done = std::move(done)](c10::ivalue::Future& future) {
      done(future.hasError() ? message_of(future.exception_ptr()) : "");
    });
  }

  c10::intrusive_ptr<ProcessGroupGloo> group_;
};

const char* const kPortKey = "uvic/port";

c10::intrusive_ptr<c10d::Store> agent_store(const ProcessPlace& place, double timeout_sec) {
  return c10::make_intrusive<c10d::PrefixStore>(
      place.job, tcp_store_client(place.host, place.port, timeout_sec));
}

/// What c10d throws, without its backtrace.
template <class Work>
auto plain(const char* what, Work&& work) {
  try {
    return work();
  } catch (const std::exception& e) {
    throw std::runtime_error(fmt::format("{}: {}", what, first_line(e.what())));
  }
}

}  // namespace

bool has_collectives() { return true; }

std::unique_ptr<AddressStore> open_address_store() {
  return plain("the store of addresses", [] { return std::make_unique<TcpAddressStore>(); });
}

std::unique_ptr<Collectives> connect_collectives(const ProcessPlace& place,
                                                 const std::string& store_host,
                                                 int64_t store_port,
                                                 const std::string& own_address,
                                                 double timeout_sec) {
  return plain("connecting the processes", [&] {
    return std::make_unique<GlooCollectives>(
        place, store_host, store_port, own_address, timeout_sec);
  });
}

void publish_port(const ProcessPlace& place, int64_t port, double timeout_sec) {
  plain("torchrun's store", [&] {
    const auto text = std::to_string(port);
    agent_store(place, timeout_sec)->set(kPortKey, std::vector<uint8_t>(text.begin(), text.end()));
  });
}

int64_t published_port(const ProcessPlace& place, double timeout_sec) {
  return plain("torchrun's store", [&] {
    const auto text = agent_store(place, timeout_sec)->get(kPortKey);
    return std::stoll(std::string(text.begin(), text.end()));
  });
}

}  // namespace uvic::base

// c10d's TCPStore, for the sources that include c10d.
#pragma once

#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <chrono>
#include <cstdint>
#include <string>

namespace uvic::base {

/// LibTorch 2 asks for libuv by default and throws where it was built without, as Debian's is. Its
/// other server and client speak the same. LibTorch 1.13 has no choice.
template <class Options>
auto leave_libuv(Options& options, int) -> decltype(options.useLibUV = false, void()) {
  options.useLibUV = false;
}
template <class Options>
void leave_libuv(Options&, long) {}

inline c10d::TCPStoreOptions tcp_store_options(int64_t port, bool is_server) {
  c10d::TCPStoreOptions options;
  options.port = static_cast<std::uint16_t>(port);
  options.isServer = is_server;
  options.waitWorkers = false;
  leave_libuv(options, 0);
  return options;
}

inline c10::intrusive_ptr<c10d::TCPStore> tcp_store_client(const std::string& host,
                                                           int64_t port,
                                                           double timeout_sec) {
  auto options = tcp_store_options(port, /*is_server=*/false);
  options.timeout = std::chrono::milliseconds(static_cast<int64_t>(timeout_sec * 1000));
  return c10::make_intrusive<c10d::TCPStore>(host, options);
}

}  // namespace uvic::base

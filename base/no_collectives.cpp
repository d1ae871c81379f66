// collectives.h in a build whose LibTorch has no c10d with Gloo: every function is there.
#include <stdexcept>

#include "base/collectives.h"

namespace uvic::base {
namespace {

[[noreturn]] void refuse() {
  throw std::runtime_error(
      "this build has no c10d: several processes need a LibTorch with Gloo and its headers "
      "(Debian: libgloo-dev)");
}

}  // namespace

bool has_collectives() { return false; }
std::unique_ptr<AddressStore> open_address_store() { refuse(); }
std::unique_ptr<Collectives> connect_collectives(
    const ProcessPlace&, const std::string&, int64_t, const std::string&, double) {
  refuse();
}
void publish_port(const ProcessPlace&, int64_t, double) { refuse(); }
int64_t published_port(const ProcessPlace&, double) { refuse(); }

}  // namespace uvic::base

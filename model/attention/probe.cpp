#include "model/attention/probe.h"

namespace uvic::model {
namespace {

thread_local ActiveProbe probe_of_thread;

}  // namespace

ActiveProbe active_probe() { return probe_of_thread; }

ProbeScope::ProbeScope(AttentionProbe* probe, int64_t first) : before_(probe_of_thread) {
  probe_of_thread = {probe, first};
}

ProbeScope::~ProbeScope() { probe_of_thread = before_; }

}  // namespace uvic::model

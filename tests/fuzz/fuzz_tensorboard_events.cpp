#include <algorithm>

#include "data/formats/tensorboard_events.h"
#include "tests/fuzz/fuzz_target.h"

UVIC_FUZZ_TARGET(tensorboard_events, ".events") {
  using namespace uvic::formats;
  constexpr size_t kHeader = 12;
  const auto records = read_records(bytes);
  for (const auto payload : records.payloads) read_event(payload, "fuzz");
  // Mutations break the checksums: what they hide is read too.
  if (!records.fault.empty() || records.payloads.empty())
    read_event(std::string_view(bytes).substr(std::min(kHeader, bytes.size())), "fuzz");
}

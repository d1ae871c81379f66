#include <cmath>

#include "app/watch/stats_line.h"
#include "tests/fuzz/fuzz_target.h"

UVIC_FUZZ_TARGET(stats_line, ".jsonl") {
  const auto line = uvic::app::parse_stats_line(bytes.substr(0, bytes.find('\n')));
  if (!line) throw std::runtime_error("no line of numbers");
  for (const auto& [name, value] : line->values)
    if (!std::isfinite(value) || name.size() > 64) throw std::logic_error("a value that is none");
}

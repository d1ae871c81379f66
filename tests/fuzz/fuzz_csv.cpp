#include "data/formats/csv.h"
#include "tests/fuzz/fuzz_target.h"

UVIC_FUZZ_TARGET(csv) { uvic::formats::parse_csv(bytes, "fuzz"); }

// UVIC_SKIP(reason): prints why a test can't run here and leaves it.
#pragma once

#include <cstdio>

#define UVIC_SKIP(reason)                            \
  do {                                               \
    std::fprintf(stderr, "skipped: %s\n", (reason)); \
    SUCCEED("skipped: " << (reason));                \
    return;                                          \
  } while (false)

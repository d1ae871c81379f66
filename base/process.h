// The process and its machine: threads, denormals, memory, signals.
#pragma once

#include <cstdint>
#include <string>

namespace uvic::base {

/// Cores that this process may use: its affinity mask, bounded by its control group's quota. At
/// least 1.
int64_t usable_cores();

/// Threads for tensor work (0: usable_cores()), one for OpenCV, denormals flushed, freed memory
/// kept for reuse, TF32 off. Throws std::invalid_argument on fewer than 0 or far more threads than
/// cores.
void set_up_process(int64_t threads);

/// After this, SIGINT and SIGTERM only raise a flag; a second one ends the process at once.
void catch_stop_signals();
/// The signal that asked to stop, or 0.
int stop_requested();
/// Thrown from inside a long computation once a stop was requested, by those who check.
struct StopRequested {};

/// Resident memory of this process, now and at its highest, MiB.
double resident_mib();
double peak_resident_mib();

/// "cpu" or "cuda", with `wanted` one of auto, cpu, cuda; throws std::invalid_argument where cuda
/// is not to be had.
std::string choose_device(const std::string& wanted);

/// A word as a shell wants it: in single quotes where it holds more than plain letters.
std::string shell_word(const std::string& word);

/// The command that started this process, quoted as a shell wants it.
std::string command_line();

/// Now, as 2026-01-31T23:59:59Z.
std::string utc_now();

}  // namespace uvic::base

// The process and its machine: threads, denormals, memory, signals, version.
#pragma once

#include <cstdint>
#include <string>

namespace uvic::app {

/// Settings that libraries read while they are loaded can only be made by starting the program
/// anew: does that once, leaving alone what the user has set. OPENBLAS_CORETYPE: an OpenBLAS older
/// than the CPU takes it for a lesser one; with AVX-512 that halves fp32 products. OMP_WAIT_POLICY:
/// threads that wait sleep instead of spinning, so that a machine with other work to do does not
/// slow training tenfold.
void restart_with_library_settings(char** argv);

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

/// What `uvic --version` prints: versions, devices, kernels, threads.
std::string version_text();

/// A word as a shell wants it: in single quotes where it holds more than plain letters.
std::string shell_word(const std::string& word);

/// The command that started this process, quoted as a shell wants it.
std::string command_line();

/// Now, as 2026-01-31T23:59:59Z.
std::string utc_now();

}  // namespace uvic::app

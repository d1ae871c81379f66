// The process and its machine: threads, denormals, memory, signals.
#pragma once

#include <cstdint>
#include <string>

namespace uvic::base {

/// Cores that this process may use: its affinity mask, bounded by its control group's quota. At
/// least 1.
int64_t usable_cores();

/// Threads for tensor work (0: usable_cores(); never more than OpenMP gives, see openmp_team() in
/// parallel.h), one for OpenCV, denormals flushed, freed memory kept for reuse, TF32 off. Throws
/// std::invalid_argument on fewer than 0 or far more threads than cores.
void set_up_process(int64_t threads);

/// To be called first in main(). Descriptors 0, 1 and 2 that are closed are opened to /dev/null, so
/// that no output file gets their number. A broken pipe is an error of the write and no signal.
/// `stderr` and `stdout` never fail: what can't be written there (a closed terminal, a pipe whose
/// reader ended, a full disk) is dropped, so that losing the log never loses the work.
/// output_error() says whether results were lost.
void protect_standard_streams();

/// Flushes stdout; "" or why what was printed there did not arrive.
std::string output_error();

/// After this, SIGINT, SIGTERM and SIGHUP (unless it was ignored, as nohup does) only raise a flag;
/// a second one ends the process at once. A second SIGHUP does not: a terminal that closes sends
/// it twice, once itself and once by the shell.
void catch_stop_signals();
/// The signal that asked to stop, or 0.
int stop_requested();
/// Another process of the job was sent `signal`: this one is to stop too. A signal of its own then
/// is not yet a second one.
void request_stop(int signal);
/// Thrown from inside a long computation once a stop was requested, by those who check.
struct StopRequested {};

/// Resident memory of this process, now and at its highest, MiB.
double resident_mib();
double peak_resident_mib();

/// "cpu" or "cuda", with `wanted` one of auto, cpu, cuda; throws std::invalid_argument where cuda
/// is not to be had. After set_own_gpu(2) "cuda:2" for "cuda".
std::string choose_device(const std::string& wanted);
void set_own_gpu(int64_t index);

/// A word as a shell wants it: in single quotes where it holds more than plain letters.
std::string shell_word(const std::string& word);

/// The command that started this process, quoted as a shell wants it.
std::string command_line();

/// Now, as 2026-01-31T23:59:59Z.
std::string utc_now();

}  // namespace uvic::base

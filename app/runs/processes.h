// How a command starts the processes that share its work, or joins them.
#pragma once

#include <cstdint>
#include <string>

#include "base/process_group.h"
#include "base/torch.h"

namespace uvic::app {

/// Starts the processes that `options` ask for (base::launch_processes), or joins those that a
/// launcher has started; null: this process alone. Sets the process up with `threads`, or 0: its
/// share of the usable cores.
base::ProcessGroup* start_processes(const base::ProcessOptions& options, int64_t threads);

/// base::choose_device(wanted); of several processes on GPUs the one that is this process's own
/// (base::choose_gpus). All call it. Throws std::invalid_argument where processes work on different
/// kinds of device, or there are too few GPUs.
torch::Device device_of_process(base::ProcessGroup* group, const std::string& wanted);

/// Throws std::invalid_argument with `what`, which all of `group` (null: there is one process) have
/// to refuse. The other ranks wait until rank 0 has said so: one line is printed.
[[noreturn]] void refuse_in_all(base::ProcessGroup* group, const std::string& what);

/// refuse_in_all() where a batch has fewer examples than `group` has processes, or fewer groups of
/// `together` examples that no process shares with another.
void require_example_each(base::ProcessGroup* group, int64_t batch_size, int64_t together = 1);

/// Whether a signal has stopped this process, or any other of `group` (null: there is none) before
/// all have come here. A signal that comes while this one waits asks the others to stop too.
bool any_stopped(base::ProcessGroup* group, bool stopped);

/// "note: NOTE" on stderr, of several processes by the first.
void say_note(const std::string& note);

}  // namespace uvic::app

// --processes N: the program starts itself N times on this machine and waits.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/process_group.h"

namespace uvic::base {

/// Thrown by launch_processes() once all processes have ended: the code to return.
struct ProcessesEnded {
  int code = 0;
};

/// Where options.processes is above 1 and no launcher started this process: starts the program that
/// many times with the arguments of this one, waits until all have ended, and throws
/// ProcessesEnded. Otherwise returns.
///
/// Signals that end or stop this process are passed on, once each: the processes are in groups of
/// their own, so that a terminal does not send them too. If this process dies, they get SIGTERM. If
/// one of them fails, the rest has a quarter of options.timeout_sec to end, then it is killed.
/// `say(line)` names the first process that a signal ended. The code is that of the first process
/// that failed.
void launch_processes(const ProcessOptions& options,
                      const std::function<void(const std::string& line)>& say);

}  // namespace uvic::base

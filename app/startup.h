// What happens before a command is known: settings that libraries read while they are loaded.
#pragma once

namespace uvic::app {

/// Settings that libraries read while they are loaded can only be made by starting the program
/// anew: does that once, leaving alone what the user has set. OPENBLAS_CORETYPE: an OpenBLAS older
/// than the CPU takes it for a lesser one; with AVX-512 that halves fp32 products. OMP_WAIT_POLICY:
/// threads that wait sleep instead of spinning, so that a machine with other work to do does not
/// slow training tenfold. OMP_DYNAMIC=true is the exception, it is replaced: teams whose size
/// changes with the load would leave the libraries' threads waiting for ones that never come.
void restart_with_library_settings(char** argv);

}  // namespace uvic::app

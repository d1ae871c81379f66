// What happens before a command is known: settings that libraries read while they are loaded.
#pragma once

namespace uvic::app {

/// Starts the program anew, once, with the settings of base/library_settings.h.
void restart_with_library_settings(char** argv);

}  // namespace uvic::app

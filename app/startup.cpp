#include "app/startup.h"

#include <unistd.h>

#include "base/library_settings.h"

namespace uvic::app {

void restart_with_library_settings(char** argv) {
  if (base::make_library_settings())
    execv("/proc/self/exe", argv);  // where it fails, the program goes on, slower
}

}  // namespace uvic::app

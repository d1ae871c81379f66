// Where the program's own files stand, installed or in the build tree.
#pragma once

#include <filesystem>
#include <string>

namespace uvic::app {

/// A file or folder of assets/ or configs/ by its path from there, as in "assets/report.html":
/// looked for under $UVIC_ROOT, then in ../share/uvic beside the program's folder, then in the
/// source tree it was built from. Throws std::runtime_error that lists where it looked.
std::filesystem::path asset(const std::string& relative_path);

/// --config NAME: a path that exists, or the name of a shipped config ("cifar10_uvic_small" or with
/// ".toml").
std::filesystem::path find_config(const std::string& name);

}  // namespace uvic::app

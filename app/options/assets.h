// The files of the program (assets and configs), installed or in the source tree.
#pragma once

#include <filesystem>
#include <string>

namespace uvic::app {

/// The path of a file or folder of assets/ or configs/, such as "assets/report.html". Searches in
/// $UVIC_ROOT, then in ../share/uvic relative to the folder of the program, then in the source tree
/// of the build. Throws std::runtime_error that lists these paths.
std::filesystem::path asset(const std::string& relative_path);

/// The path for --config NAME: a path that exists, or the name of a shipped config
/// ("cifar10_uvic_small", with or without ".toml"). Throws std::invalid_argument that names the
/// nearest shipped config.
std::filesystem::path find_config(const std::string& name);

}  // namespace uvic::app

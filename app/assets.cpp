#include "app/assets.h"

#include <fmt/format.h>

#include <cstdlib>
#include <stdexcept>
#include <vector>

namespace uvic::app {
namespace fs = std::filesystem;

fs::path asset(const std::string& relative_path) {
  std::vector<fs::path> roots;
  if (const char* root = std::getenv("UVIC_ROOT"); root && *root) roots.emplace_back(root);
  std::error_code no_proc;
  const auto program = fs::read_symlink("/proc/self/exe", no_proc);
  if (!no_proc) roots.push_back(program.parent_path().parent_path() / "share" / "uvic");
  roots.emplace_back(UVIC_SOURCE_DIR);
  std::string looked;
  for (const auto& root : roots) {
    std::error_code ignored;
    if (fs::exists(root / relative_path, ignored)) return root / relative_path;
    looked += fmt::format(" {}", (root / relative_path).string());
  }
  throw std::runtime_error(fmt::format(
      "{}: not found; looked for{}. Set UVIC_ROOT to the folder that holds assets/ and configs/",
      relative_path,
      looked));
}

fs::path find_config(const std::string& name) {
  std::error_code ignored;
  if (fs::is_regular_file(name, ignored)) return name;
  if (name.find('/') == std::string::npos) {
    for (const auto* suffix : {"", ".toml"}) {
      try {
        return asset("configs/" + name + suffix);
      } catch (const std::runtime_error&) {  // the message below serves both
      }
    }
  }
  throw std::invalid_argument(
      fmt::format("{}: no such config file, and no shipped config of that name", name));
}

}  // namespace uvic::app

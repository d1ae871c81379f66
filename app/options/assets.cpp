#include "app/options/assets.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <stdexcept>
#include <vector>

#include "app/options/suggestion.h"

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
      "{}: not found; looked for{}. Set UVIC_ROOT to the folder that contains assets/ and configs/",
      relative_path,
      looked));
}

fs::path find_config(const std::string& name) {
  std::error_code ignored;
  if (fs::is_regular_file(name, ignored)) return name;
  if (fs::exists(name, ignored) && !fs::is_directory(name, ignored))
    throw std::invalid_argument(name + ": not a regular file");
  if (name.find('/') == std::string::npos) {
    for (const auto* suffix : {"", ".toml"}) {
      try {
        const auto found = asset("configs/" + name + suffix);
        if (fs::is_regular_file(found, ignored)) return found;
      } catch (const std::runtime_error&) {  // reported below
      }
    }
  }
  std::vector<std::string> shipped;
  std::string folder;
  try {
    folder = asset("configs").string();
    for (const auto& entry : fs::directory_iterator(folder, ignored))
      if (entry.path().extension() == ".toml") shipped.push_back(entry.path().stem().string());
  } catch (const std::runtime_error&) {  // then the message names none
  }
  std::sort(shipped.begin(), shipped.end());  // a fixed order, for equal distances
  const auto near = nearest(fs::path(name).stem().string(), shipped);
  throw std::invalid_argument(
      fmt::format("{}: no such config file, and no shipped config with that name{}",
                  name,
                  !near.empty()     ? "; did you mean " + near + "?"
                  : !folder.empty() ? "; the shipped configs are in " + folder
                                    : ""));
}

}  // namespace uvic::app

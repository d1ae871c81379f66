#include "data/source_path.h"

#include <system_error>

namespace uvic::data {
namespace fs = std::filesystem;

bool is_made_on_the_fly(const std::string& source) { return source.rfind("procedural", 0) == 0; }

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

bool is_folder(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

PathAndPart split_part(const std::string& source, std::initializer_list<const char*> parts) {
  PathAndPart split{source, ""};
  for (const std::string name : parts) {
    const auto ending = ":" + name;
    const bool ends = source.size() >= ending.size() &&
                      source.compare(source.size() - ending.size(), ending.size(), ending) == 0;
    if (!ends || is_there(source)) continue;
    split.part = name;
    split.path = source.substr(0, source.size() - ending.size());
  }
  return split;
}

}  // namespace uvic::data

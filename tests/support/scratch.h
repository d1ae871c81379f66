// A folder that exists for one test, and the real images that a developer may have.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

namespace uvic::test {

/// A fresh empty folder, removed with all it holds when the object dies.
class Scratch {
 public:
  Scratch() {
    std::string pattern = (std::filesystem::temp_directory_path() / "uvic-test-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

/// A file of $UVIC_TEST_IMAGES (real images for development), or nothing where it is unset or lacks
/// it.
inline std::optional<std::filesystem::path> test_images(const std::string& file) {
  const char* folder = std::getenv("UVIC_TEST_IMAGES");
  if (!folder || !*folder) return std::nullopt;
  const auto path = std::filesystem::path(folder) / file;
  return std::filesystem::exists(path) ? std::optional(path) : std::nullopt;
}

}  // namespace uvic::test

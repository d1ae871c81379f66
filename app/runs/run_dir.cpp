#include "app/runs/run_dir.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <vector>

#include "data/formats/atomic_file.h"

namespace uvic::app {
namespace fs = std::filesystem;
namespace {

std::string numbered(int64_t images_seen, const char* extension) {
  return fmt::format("{:09d}{}", images_seen, extension);
}

void append(const fs::path& path, const std::string& text) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  const bool written =
      file >= 0 && ::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const int error = errno;
  if (file >= 0) ::close(file);
  if (!written)
    throw std::runtime_error(
        fmt::format("{}: can't append: {}", path.string(), std::strerror(error)));
}

}  // namespace

void RunDir::open_for_training() {
  std::error_code error;
  for (const auto* folder : {"weights", "grids"}) {
    fs::create_directories(path_ / folder, error);
    if (error)
      throw std::runtime_error(fmt::format("{}: can't be made: {}; choose another --out",
                                           (path_ / folder).string(),
                                           error.message()));
  }
  const auto lock = path_ / ".lock";
  // Held open, and so locked, until the process ends.
  const int file = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (file < 0)
    throw std::runtime_error(
        fmt::format("{}: can't be written: {}", lock.string(), std::strerror(errno)));
  static std::vector<std::pair<fs::path, int>> held;
  for (const auto& [path, descriptor] : held) {
    if (path == lock) {
      ::close(file);
      return;
    }
  }
  if (flock(file, LOCK_EX | LOCK_NB) != 0) {
    ::close(file);
    throw std::runtime_error(
        fmt::format("{}: another process trains in this folder", path_.string()));
  }
  held.emplace_back(lock, file);
}

fs::path RunDir::weights(int64_t images_seen) const {
  return path_ / "weights" / numbered(images_seen, ".safetensors");
}

fs::path RunDir::grid(int64_t images_seen) const {
  return path_ / "grids" / numbered(images_seen, ".png");
}

fs::path RunDir::latest_weights() const {
  fs::path latest;
  const auto later = [&](const fs::path& path) {  // by number: a tenth digit breaks names' order
    const auto before = latest.stem().string(), name = path.stem().string();
    return std::pair(name.size(), name) > std::pair(before.size(), before);
  };
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path_ / "weights", error))
    if (entry.path().extension() == ".safetensors" && later(entry.path())) latest = entry.path();
  if (latest.empty())
    throw std::runtime_error(fmt::format(
        "{}: no weights/*.safetensors; is this a run folder that has reached a checkpoint?",
        path_.string()));
  return latest;
}

void RunDir::append_stats(const nlohmann::json& line) const { append(stats(), line.dump() + "\n"); }

std::vector<nlohmann::json> RunDir::read_stats() const {
  std::vector<nlohmann::json> lines;
  std::ifstream file(stats());
  for (std::string text; std::getline(file, text);) {
    auto line = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (line.is_object() && line.contains("images_seen") && line["images_seen"].is_number_integer())
      lines.push_back(std::move(line));
  }
  return lines;
}

void RunDir::truncate_stats(int64_t images_seen) const {
  std::string kept;
  for (const auto& line : read_stats())
    if (line["images_seen"].get<int64_t>() <= images_seen) kept += line.dump() + "\n";
  formats::write_file_atomically(stats(), kept);
}

void RunDir::log(const std::string& line) const {
  std::fprintf(stderr, "%s\n", line.c_str());
  append(path_ / "log.txt", line + "\n");
}

}  // namespace uvic::app

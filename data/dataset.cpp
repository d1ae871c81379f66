#include "data/dataset.h"

#include <fmt/format.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include "data/cifar10.h"
#include "data/image_folder.h"
#include "data/image_zip.h"
#include "data/procedural.h"

namespace uvic::data {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxSide = 16384;  // px, as for the files that are read

bool ends_with(const std::string& text, const std::string& ending) {
  return text.size() >= ending.size() &&
         text.compare(text.size() - ending.size(), ending.size(), ending) == 0;
}

bool is_there(const fs::path& path) {
  std::error_code error;  // a name too long, a folder closed to us: told as absent
  return fs::exists(path, error);
}

uint64_t parse_seed(const std::string& source) {
  const std::string digits = source.substr(source.find(':') + 1);
  uint64_t seed = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), seed);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size())
    throw std::invalid_argument(fmt::format(
        "{}: \"{}\" is no seed; write procedural or, with a seed, procedural:7", source, digits));
  return seed;
}

std::unique_ptr<FileContainer> open_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file)
    throw std::runtime_error(
        fmt::format("{}: can't read: {}", path.string(), std::strerror(errno)));
  char magic[4] = {};
  file.read(magic, sizeof magic);
  const std::string_view begin(magic, 4);
  if (begin == "PK\3\4" || begin == "PK\5\6") return open_image_zip(path);
  const bool is_gzip = begin.substr(0, 2) == "\x1f\x8b";
  throw std::runtime_error(fmt::format("{}: {}, want a zip archive or a folder of pictures{}",
                                       path.string(),
                                       is_gzip ? "a gzip file" : "no zip archive",
                                       is_gzip ? "; unpack it first" : ""));
}

}  // namespace

void DatasetOptions::validate() const {
  if (image_size < 1 || image_size > kMaxSide)
    throw std::invalid_argument(
        fmt::format("image_size: {} px, want 1 to {}", image_size, kMaxSide));
  if (memory_limit_mib < 0 || memory_limit_mib > (int64_t{1} << 40))
    throw std::invalid_argument(
        fmt::format("memory_limit_mib: {}, want 0 (always stream) to 2^40", memory_limit_mib));
  if (procedural_images < 1)
    throw std::invalid_argument(
        fmt::format("procedural_images: {}, want at least 1", procedural_images));
}

std::unique_ptr<Dataset> open_dataset(const std::string& source, const DatasetOptions& options) {
  options.validate();
  if (source == "procedural" || source.rfind("procedural:", 0) == 0) {
    const bool has_seed = source.find(':') != std::string::npos;
    return std::make_unique<ProceduralDataset>(
        options.procedural_images,
        options.image_size,
        has_seed ? parse_seed(source) : static_cast<uint64_t>(options.procedural_seed));
  }

  fs::path path = source;
  std::string part;
  for (const char* name : {"train", "test"}) {
    if (is_there(path) || !ends_with(source, std::string(":") + name)) continue;
    part = name;
    path = source.substr(0, source.size() - part.size() - 1);
  }
  if (!is_there(path))
    throw std::runtime_error(
        fmt::format("{}: no such file or folder; give a folder or zip archive of pictures, the "
                    "folder of CIFAR-10's binary version, or the word procedural",
                    path.string()));

  if (fs::is_directory(path)) {
    if (const auto cifar = find_cifar10(path); !cifar.empty())
      return std::make_unique<Cifar10>(cifar, part, options.image_size);
  }
  if (!part.empty())
    throw std::runtime_error(fmt::format(
        "{}: not CIFAR-10's binary version, so it has no part \":{}\"", path.string(), part));
  auto container = fs::is_directory(path) ? open_image_folder(path) : open_file(path);
  return std::make_unique<PictureFiles>(std::move(container), options);
}

}  // namespace uvic::data

#include "data/cifar10.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <sstream>
#include <stdexcept>

#include "base/hash.h"
#include "data/formats/atomic_file.h"
#include "data/formats/crc32.h"
#include "data/formats/image_file.h"
#include "data/formats/sha256.h"
#include "data/resize.h"

namespace uvic::data {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kSide = 32, kPlane = kSide * kSide, kRecord = 1 + 3 * kPlane;
constexpr int kClasses = 10;
const std::vector<std::string> kTrain = {"data_batch_1.bin",
                                         "data_batch_2.bin",
                                         "data_batch_3.bin",
                                         "data_batch_4.bin",
                                         "data_batch_5.bin"};
const std::vector<std::string> kTest = {"test_batch.bin"};

bool has_any(const fs::path& folder, const std::vector<std::string>& names) {
  return std::any_of(
      names.begin(), names.end(), [&](const auto& name) { return fs::exists(folder / name); });
}

std::vector<std::string> read_class_names(const fs::path& folder) {
  std::vector<std::string> names;
  if (const auto path = folder / "batches.meta.txt"; fs::exists(path)) {
    std::istringstream lines(formats::read_file(path, 1 << 16));
    for (std::string line; std::getline(lines, line);)
      if (!line.empty() && line != "\r") names.push_back(line.substr(0, line.find('\r')));
  }
  if (names.size() == kClasses) return names;
  return {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};
}

}  // namespace

fs::path find_cifar10(const fs::path& folder) {
  for (const auto& path : {folder, folder / "cifar-10-batches-bin"}) {
    if (has_any(path, kTrain) || has_any(path, kTest)) return path;
  }
  for (const char* name : {"data_batch_1", "test_batch"}) {
    for (const char* ending : {"", ".mat"}) {
      for (const char* inner : {"", "cifar-10-batches-py", "cifar-10-batches-mat"}) {
        if (!fs::is_regular_file(folder / inner / (std::string(name) + ending))) continue;
        throw std::runtime_error(fmt::format(
            "{}: no {}.bin but {}{}; give the folder of the binary version (six .bin files)",
            folder.string(),
            name,
            name,
            ending));
      }
    }
  }
  return {};
}

Cifar10::Cifar10(const fs::path& folder, const std::string& part, int64_t image_size)
    : name_(folder.string()),
      part_(!part.empty()             ? part
            : has_any(folder, kTrain) ? "train"
                                      : "test"),
      class_names_(read_class_names(folder)),
      image_size_(image_size) {
  for (const auto& file_name : part_ == "train" ? kTrain : kTest) {
    const auto path = folder / file_name;
    if (!fs::exists(path))
      throw std::runtime_error(fmt::format(
          "{}: no {}; give the folder of the binary version (six .bin files)", name_, file_name));
    auto batch = formats::MappedFile::open(path);
    if (batch->size() == 0 || batch->size() % kRecord != 0)
      throw std::runtime_error(
          fmt::format("{}: {} bytes, want a multiple of {} (class and image); fetch the file again",
                      path.string(),
                      batch->size(),
                      kRecord));
    size_ += static_cast<int64_t>(batch->size()) / kRecord;
    batches_.push_back(std::move(batch));
  }
}

std::string Cifar10::describe() const {
  return fmt::format(
      "CIFAR-10 {} {}: {} images at {} px, 10 classes", part_, name_, size_, image_size_);
}

std::string Cifar10::fingerprint_of_listing() const {
  formats::Sha256 hash;
  for (const auto& batch : batches_) hash.update(batch->data(), kRecord);
  return fmt::format(
      "cifar10 {} images={} size={} first={}", part_, size_, image_size_, hash.hex().substr(0, 16));
}

/// Of each file the size and the CRC-32 of 64 records spread over it.
std::string Cifar10::fingerprint() const {
  constexpr int64_t kChecked = 64;
  formats::Sha256 hash;
  for (const auto& batch : batches_) {
    const auto records = static_cast<int64_t>(batch->size()) / kRecord;
    const auto count = std::min(kChecked, records);
    uint32_t sum = 0;
    for (int64_t i = 0; i < count; ++i) {
      const auto* record = batch->data() + base::spread_index(i, count, records) * kRecord;
      sum = formats::crc32({reinterpret_cast<const char*>(record), kRecord}, sum);
    }
    const auto line = fmt::format("{}\t{:08x}\n", batch->size(), sum);
    hash.update(line.data(), line.size());
  }
  return fmt::format("cifar10 {} images={} size={} content={}",
                     part_,
                     size_,
                     image_size_,
                     hash.hex().substr(0, 16));
}

int64_t Cifar10::read(int64_t index, uint8_t* planes) const {
  if (index < 0 || index >= size_)
    throw std::out_of_range(fmt::format("{}: image {} of {}", name_, index, size_));
  int64_t at = index;
  auto batch = batches_.begin();
  for (; at >= static_cast<int64_t>((*batch)->size()) / kRecord; ++batch)
    at -= static_cast<int64_t>((*batch)->size()) / kRecord;

  // Copied, then checked: another program may write into the file meanwhile.
  std::array<uint8_t, kRecord> record;
  std::memcpy(record.data(), (*batch)->data() + at * kRecord, kRecord);
  (*batch)->require_unchanged();
  if (record[0] >= kClasses)
    throw std::runtime_error(
        fmt::format("{}: record {} is of class {}, want 0 to {}; is this CIFAR-10?",
                    (*batch)->name(),
                    at,
                    record[0],
                    kClasses - 1));
  if (image_size_ == kSide) {
    std::memcpy(planes, record.data() + 1, 3 * kPlane);
  } else {
    formats::Image image{kSide, kSide, std::vector<uint8_t>(3 * kPlane)};
    for (int64_t p = 0; p < kPlane; ++p)
      for (int64_t c = 0; c < 3; ++c) image.rgb[3 * p + c] = record[1 + c * kPlane + p];
    fit_square(image, image_size_, planes);
  }
  return record[0];
}

}  // namespace uvic::data

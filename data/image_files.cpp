#include "data/image_files.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "base/hash.h"
#include "base/thread_loop.h"
#include "data/formats/exif.h"
#include "data/formats/sha256.h"
#include "data/resize.h"

namespace uvic::data {
namespace {

constexpr uint64_t kDecodeAtOnceBytes = uint64_t{256} << 20;
constexpr int64_t kMostChecked = 65536;  // files that a fingerprint reads from a folder

const uint8_t* bytes_of(const std::string& text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

}  // namespace

ImageFiles::ImageFiles(std::unique_ptr<FileContainer> container, const DatasetOptions& options)
    : container_(std::move(container)),
      listing_(list_images(*container_)),
      image_size_(options.image_size),
      skip_bad_(options.skip_bad),
      turns_upright_(options.exif == "apply"),
      slots_(listing_.files.size()),
      has_orientation_(listing_.files.size()),
      pixels_(nullptr, std::free) {
  for (auto& slot : slots_) slot = Slot::kEmpty;
  for (auto& has : has_orientation_) has = false;
  const auto image_bytes = static_cast<uint64_t>(3 * image_size_ * image_size_);
  const uint64_t limit_bytes = static_cast<uint64_t>(options.memory_limit_mib) << 20;
  if (listing_.files.size() > limit_bytes / image_bytes) return;

  // calloc: pages that no image has reached yet take no memory.
  pixels_.reset(static_cast<uint8_t*>(std::calloc(listing_.files.size(), image_bytes)));
  if (!is_cached()) return;  // streams instead
  if (listing_.files.total_bytes() > kDecodeAtOnceBytes) return;
  base::parallel_for(size(), 0, [this](int64_t index) { read_file(index, nullptr); });
  if (skipped_ == size()) fail_all_bad();
}

std::string ImageFiles::describe() const {
  const auto& names = listing_.class_names;
  auto text = fmt::format("{} {}: {} images at {} px, {}",
                          container_->kind(),
                          container_->name(),
                          size(),
                          image_size_,
                          names.empty() ? "unlabelled" : fmt::format("{} classes", names.size()));
  text += is_cached() ? ", in memory" : ", streamed";
  if (skipped_ > 0) text += fmt::format(", {} skipped", skipped_.load());
  for (const auto& note : notes()) text += "; " + note;
  return text;
}

std::vector<std::string> ImageFiles::notes() const {
  auto notes = listing_.notes;
  if (oriented_ > 0)
    notes.push_back(
        turns_upright_
            ? fmt::format("{} images turned upright by their EXIF data", oriented_.load())
            : fmt::format("{} images have an EXIF orientation that was not applied "
                          "(--dataset.exif apply turns them upright)",
                          oriented_.load()));
  return notes;
}

/// One line over all files; checksums null: names and sizes alone.
std::string ImageFiles::fingerprint_with(const char* key,
                                         const std::vector<uint32_t>* checksums) const {
  formats::Sha256 hash;
  for (size_t i = 0; i < listing_.files.size(); ++i) {
    const auto file = listing_.files[i];
    const auto line = fmt::format("{}\t{}\t{}{}\n",
                                  file.path,
                                  file.size_bytes,
                                  label(static_cast<int64_t>(i)),
                                  checksums ? fmt::format("\t{:08x}", (*checksums)[i]) : "");
    hash.update(line.data(), line.size());
  }
  return fmt::format("{} images={} size={} classes={} {}={}",
                     container_->kind(),
                     size(),
                     image_size_,
                     listing_.class_names.size(),
                     key,
                     hash.hex().substr(0, 16));
}

std::string ImageFiles::fingerprint_of_listing() const {
  return fingerprint_with("listing", nullptr);
}

std::string ImageFiles::fingerprint() const {
  std::call_once(fingerprint_made_, [this] {
    std::vector<uint32_t> checksums(listing_.files.size(), 0);
    const int64_t count = container_->knows_checksums() ? size() : std::min(size(), kMostChecked);
    base::parallel_for(count, container_->knows_checksums() ? 1 : 0, [&](int64_t i) {
      const auto index = static_cast<size_t>(base::spread_index(i, count, size()));
      checksums[index] = container_->checksum(listing_.files[index]);
    });
    fingerprint_ = fingerprint_with("content", &checksums) + (turns_upright_ ? " exif=apply" : "");
  });
  return fingerprint_;
}

void ImageFiles::check_index(int64_t index) const {
  if (index < 0 || index >= size())
    throw std::out_of_range(fmt::format("{}: image {} of {}", container_->name(), index, size()));
}

int64_t ImageFiles::read(int64_t index, uint8_t* planes) const {
  check_index(index);
  for (int64_t step = 0; step < size(); ++step) {
    const int64_t at = (index + step) % size();
    if (read_file(at, planes)) return label(at);
  }
  fail_all_bad();
}

torch::Tensor ImageFiles::read_whole(int64_t index) const {
  check_index(index);
  for (int64_t step = 0; step < size(); ++step) {
    const int64_t at = (index + step) % size();
    if (slots_[at].load(std::memory_order_acquire) == Slot::kBad) continue;
    try {
      return image_planes(decode(at));
    } catch (const std::runtime_error&) {
      if (!skip_bad_) throw;
      mark_bad(at);
    }
  }
  fail_all_bad();
}

formats::ImageSize ImageFiles::own_size(int64_t index) const {
  check_index(index);
  const auto file = listing_.files[index];
  const auto bytes = container_->read(file);
  auto size =
      formats::image_size(bytes_of(bytes), bytes.size(), container_->name() + "/" + file.path);
  if (turns_upright_ && formats::exif_orientation(bytes_of(bytes), bytes.size()) >= 5)
    std::swap(size.width, size.height);
  return size;
}

void ImageFiles::fail_all_bad() const {
  throw std::runtime_error(
      fmt::format("{}: none of its {} images can be decoded", container_->name(), size()));
}

/// One file to `planes` (unless null: then to the cache alone). False if it is bad and bad ones are
/// skipped.
bool ImageFiles::read_file(int64_t index, uint8_t* planes) const {
  auto& slot = slots_[index];
  const int64_t image_bytes = 3 * image_size_ * image_size_;
  uint8_t* kept = is_cached() ? pixels_.get() + index * image_bytes : nullptr;

  const Slot state = slot.load(std::memory_order_acquire);
  if (state == Slot::kBad) return false;
  if (state == Slot::kFull) {
    if (planes) std::memcpy(planes, kept, image_bytes);
    return true;
  }

  auto empty = Slot::kEmpty;
  const bool fills = kept && slot.compare_exchange_strong(empty, Slot::kBeingFilled);
  uint8_t* target = fills ? kept : planes;
  if (!target) return true;  // another thread is filling it
  try {
    fit_square(decode(index), image_size_, target);
  } catch (const std::runtime_error&) {
    if (!skip_bad_) {
      if (fills) slot = Slot::kEmpty;
      throw;
    }
    mark_bad(index);
    return false;
  }
  if (fills) {
    slot.store(Slot::kFull, std::memory_order_release);
    if (planes) std::memcpy(planes, kept, image_bytes);
  }
  return true;
}

void ImageFiles::mark_bad(int64_t index) const {
  if (slots_[index].exchange(Slot::kBad) != Slot::kBad) ++skipped_;
}

formats::Image ImageFiles::decode(int64_t index) const {
  const auto file = listing_.files[index];
  const auto bytes = container_->read(file);
  auto image =
      formats::decode_image(bytes_of(bytes), bytes.size(), container_->name() + "/" + file.path);
  const int orientation = formats::exif_orientation(bytes_of(bytes), bytes.size());
  if (orientation == 1) return image;
  if (!has_orientation_[index].exchange(true)) ++oriented_;
  return turns_upright_ ? formats::upright(image, orientation) : image;
}

}  // namespace uvic::data

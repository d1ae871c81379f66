#include "data/image_files.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string_view>

#include "base/hash.h"
#include "base/thread_loop.h"
#include "base/torch.h"
#include "data/formats/crc32.h"
#include "data/formats/exif.h"
#include "data/formats/sha256.h"
#include "data/resize.h"
#include "data/sampled_checksum.h"

namespace uvic::data {
namespace {

constexpr uint64_t kDecodeAtOnceBytes = uint64_t{256} << 20;

/// Bytes of the folders that both paths begin with.
size_t bytes_shared(std::string_view a, std::string_view b) {
  const auto end = std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first;
  return a.substr(0, static_cast<size_t>(end - a.begin())).rfind('/') + 1;  // npos + 1 is 0
}

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
  base::parallel_for(ImageFiles::size(), 0, [this](int64_t index) { read_file(index, nullptr); });
  if (skipped_ == ImageFiles::size()) fail_all_bad();
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

/// One line over all files; checksums null: names and sizes alone. With them, paths begin below the
/// folders that all share, which a zip of a folder has in front.
std::string ImageFiles::fingerprint_with(const char* key,
                                         const std::vector<uint32_t>* checksums) const {
  const auto& files = listing_.files;
  const size_t shared = checksums ? bytes_shared(files.path(0), files.path(files.size() - 1)) : 0;
  formats::Sha256 hash;
  for (size_t i = 0; i < files.size(); ++i) {
    const auto line = fmt::format("{}\t{}\t{}{}\n",
                                  files.path(i).substr(shared),
                                  files[i].size_bytes,
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

/// With the CRC-32 of each whole file, as a zip knows them, or with sampled_checksum() of at most
/// kMostSampledFiles files.
std::string ImageFiles::fingerprint_of_content(bool whole) const {
  std::vector<uint32_t> checksums(listing_.files.size(), 0);
  const int64_t count = whole ? size() : std::min(size(), kMostSampledFiles);
  const bool is_own_form = whole == container_->knows_checksums();
  base::parallel_for(count, is_own_form && whole ? 1 : 0, [&](int64_t i) {
    const auto index = static_cast<size_t>(base::spread_index(i, count, size()));
    const auto file = listing_.files[index];
    checksums[index] = is_own_form ? container_->checksum(file)
                       : whole     ? formats::crc32(container_->read(file))
                                   : sampled_checksum(container_->read(file));
  });
  return fingerprint_with("content", &checksums) + (turns_upright_ ? " exif=apply" : "");
}

std::string ImageFiles::fingerprint() const {
  std::call_once(fingerprint_made_,
                 [this] { fingerprint_ = fingerprint_of_content(container_->knows_checksums()); });
  return fingerprint_;
}

std::string ImageFiles::fingerprint_like(const std::string& recorded) const {
  const auto kind = recorded.substr(0, recorded.find(" images="));
  const bool is_container = kind == "image folder" || kind == "zip archive" ||
                            kind.find("tar archive") != std::string::npos;
  const bool has_content = recorded.find(" listing=") == std::string::npos;
  if (!is_container || kind == container_->kind())
    return has_content ? fingerprint() : fingerprint_of_listing();
  const auto own =
      has_content ? fingerprint_of_content(kind == "zip archive") : fingerprint_of_listing();
  return kind + own.substr(container_->kind().size());
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
  throw std::runtime_error(fmt::format(
      "{}: none of its {} images can be decoded", container_->name(), listing_.files.size()));
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

#include "data/formats/jpeg_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <vector>

namespace uvic::formats {
namespace {

constexpr uint8_t kUnsent = 0xff;

/// One component of the frame, and which of its data came so far.
struct Component {
  uint8_t id = 0;
  int64_t across = 1, down = 1;   // sampling factors
  uint8_t quantisation = 0;       // number of its quantisation table
  std::array<uint8_t, 64> low{};  // by coefficient: the lowest bit sent, or kUnsent
};

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

class JpegWalk {
 public:
  JpegWalk(const uint8_t* bytes, size_t size) : bytes_(bytes), size_(size) {}

  std::string run() {
    size_t i = 2;
    while (i + 1 < size_) {
      if (bytes_[i] != 0xff) {
        ++i;
        continue;
      }
      const uint8_t marker = bytes_[i + 1];
      if (marker == 0xd9) return finish();
      if (marker == 0xff) {
        ++i;
      } else if (marker <= 0x01 || (marker >= 0xd0 && marker <= 0xd8)) {
        i += 2;
      } else {
        if (i + 3 >= size_) return "ends inside a segment";
        const size_t length = size_t{bytes_[i + 2]} << 8 | bytes_[i + 3];
        if (length < 2 || length > size_ - i - 2) return "ends inside a segment";
        if (!take(marker, bytes_ + i + 4, length - 2)) return fault_;
        i += 2 + length;
        if (marker == 0xda && !take_restarts(i)) return fault_;
      }
    }
    return "has no end-of-image marker";
  }

 private:
  bool refuse(const std::string& text) {
    fault_ = text;
    return false;
  }

  bool take(uint8_t marker, const uint8_t* segment, size_t size) {
    if (marker == 0xc4) return take_tables(segment, size);
    if (marker == 0xdb) return take_quantisation(segment, size);
    if (marker >= 0xc0 && marker <= 0xc2) return take_frame(marker == 0xc2, segment, size);
    if (marker == 0xdd) {
      if (size < 2) return refuse("has a damaged restart interval");
      interval_ = segment[0] << 8 | segment[1];
    }
    if (marker == 0xda) return take_scan(segment, size);
    return true;
  }

  // Class and number, 16 counts of codes by length, the codes' symbols. stb before 2.28 writes
  // beyond its array where there are more than 256 codes.
  bool take_tables(const uint8_t* tables, size_t size) {
    constexpr size_t kCountsEnd = 17;
    while (size > 0) {
      if (size < kCountsEnd || tables[0] >> 4 > 1 || (tables[0] & 15) > 3)
        return refuse("has a damaged Huffman table");
      const size_t codes = std::accumulate(tables + 1, tables + kCountsEnd, size_t{0});
      if (codes > 256 || codes > size - kCountsEnd) return refuse("has a damaged Huffman table");
      tables_given_[tables[0] >> 4][tables[0] & 15] = true;
      tables += kCountsEnd + codes;
      size -= kCountsEnd + codes;
    }
    return true;
  }

  // Precision (0: a byte, 1: two) and number, 64 values. Of a component without a table stb makes
  // one grey.
  bool take_quantisation(const uint8_t* tables, size_t size) {
    while (size > 0) {
      const size_t length = 1 + (size_t{64} << (tables[0] >> 4 & 1));
      if (tables[0] >> 4 > 1 || (tables[0] & 15) > 3 || size < length)
        return refuse("has a damaged quantisation table");
      quantisation_given_[tables[0] & 15] = true;
      tables += length;
      size -= length;
    }
    return true;
  }

  bool take_frame(bool progressive, const uint8_t* frame, size_t size) {
    if (!components_.empty()) return refuse("has two frames");
    if (size < 6 || size < 6 + size_t{3} * frame[5] || frame[5] == 0)
      return refuse("has a damaged frame");
    progressive_ = progressive;
    height_ = frame[1] << 8 | frame[2];
    width_ = frame[3] << 8 | frame[4];
    for (size_t i = 0; i < frame[5]; ++i) {
      Component component;
      component.id = frame[6 + 3 * i];
      component.across = frame[7 + 3 * i] >> 4;
      component.down = frame[7 + 3 * i] & 15;
      component.quantisation = frame[8 + 3 * i];
      component.low.fill(kUnsent);
      if (component.across < 1 || component.across > 4 || component.down < 1 || component.down > 4)
        return refuse("has a damaged frame");
      most_across_ = std::max(most_across_, component.across);
      most_down_ = std::max(most_down_, component.down);
      components_.push_back(component);
    }
    // stb before 2.28 divides them as integers, and reads columns that no scan wrote.
    for (const auto& component : components_)
      if (most_across_ % component.across != 0 || most_down_ % component.down != 0)
        return refuse("has sampling factors that are not read");
    return true;
  }

  Component* find(uint8_t id) {
    const auto found = std::find_if(
        components_.begin(), components_.end(), [&](const auto& c) { return c.id == id; });
    return found == components_.end() ? nullptr : &*found;
  }

  // The header holds the number of components, two bytes for each, and the range of coefficients.
  bool take_scan(const uint8_t* scan, size_t size) {
    if (components_.empty()) return refuse("has a scan before its frame");
    if (size < 1 || scan[0] < 1 || scan[0] > 4 || size < 4 + size_t{2} * scan[0])
      return refuse("has a damaged scan");
    const uint8_t* range = scan + 1 + 2 * scan[0];
    const uint8_t first = progressive_ ? range[0] : 0, last = progressive_ ? range[1] : 63,
                  high = progressive_ ? range[2] >> 4 : 0, low = progressive_ ? range[2] & 15 : 0;
    if (first > last || last > 63) return refuse("has a damaged scan");
    const bool wants_dc = first == 0 && high == 0, wants_ac = last > 0;
    scanned_.clear();
    for (size_t i = 0; i < scan[0]; ++i) {
      auto* component = find(scan[1 + 2 * i]);
      if (!component || std::count(scanned_.begin(), scanned_.end(), component))
        return refuse("has a scan of components that its frame lacks");
      const uint8_t tables = scan[2 + 2 * i];
      // stb reads beyond its arrays where a table is not there.
      if (tables >> 4 > 3 || (tables & 15) > 3 || (wants_dc && !tables_given_[0][tables >> 4]) ||
          (wants_ac && !tables_given_[1][tables & 15]))
        return refuse("has a scan without its Huffman tables");
      if (component->quantisation > 3 || !quantisation_given_[component->quantisation])
        return refuse("has a scan without its quantisation table");
      if (first > 0 && component->low[0] == kUnsent)
        return refuse("has a scan of detail before that of its means");
      // A refining scan goes on from the bit that the last one ended with.
      if (high > 0 && std::any_of(component->low.begin() + first,
                                  component->low.begin() + last + 1,
                                  [&](uint8_t sent) { return sent != high; }))
        return refuse("has a refining scan of bits that were not sent");
      std::fill(component->low.begin() + first, component->low.begin() + last + 1, low);
      scanned_.push_back(component);
    }
    return true;
  }

  // Restart markers of the entropy-coded data that begins at `at`. Where there are too few, stb
  // leaves the rest of the scan unwritten and says nothing.
  bool take_restarts(size_t at) {
    int64_t found = 0;
    for (; at + 1 < size_; ++at) {
      if (bytes_[at] != 0xff || bytes_[at + 1] == 0xff || bytes_[at + 1] == 0) continue;
      if (bytes_[at + 1] < 0xd0 || bytes_[at + 1] > 0xd7) break;
      if (bytes_[at + 1] != 0xd0 + found % 8) return refuse("lacks a restart interval");
      ++found;
    }
    int64_t units = 0;  // of the scan: what restart intervals count
    if (scanned_.size() == 1) {
      const auto& one = *scanned_[0];
      units = divide_up(divide_up(width_ * one.across, most_across_), 8) *
              divide_up(divide_up(height_ * one.down, most_down_), 8);
    } else {
      units = divide_up(width_, 8 * most_across_) * divide_up(height_, 8 * most_down_);
    }
    const int64_t expected = interval_ > 0 ? divide_up(units, interval_) - 1 : 0;
    // Some encoders end a scan of whole intervals by a marker more.
    if (found < expected || found > expected + (interval_ > 0 ? 1 : 0))
      return refuse(fmt::format("has {} of {} restart markers", found, expected));
    return true;
  }

  std::string finish() const {
    if (components_.empty()) return "has no frame";
    for (const auto& component : components_) {
      const auto sent = std::count(component.low.begin(), component.low.end(), 0);
      if (sent == 0) return "lacks a scan of one of its components";
      if (sent < 64) return "lacks some of its progressive scans";
    }
    return fault_;
  }

  const uint8_t* bytes_;
  size_t size_;
  std::string fault_;
  bool tables_given_[2][4] = {};     // Huffman, by class (0 DC, 1 AC) and number
  bool quantisation_given_[4] = {};  // by number
  std::vector<Component> components_;
  std::vector<const Component*> scanned_;  // by the last scan
  bool progressive_ = false;
  int64_t width_ = 0, height_ = 0, interval_ = 0, most_across_ = 1, most_down_ = 1;
};

}  // namespace

std::string jpeg_fault(const uint8_t* bytes, size_t size) { return JpegWalk(bytes, size).run(); }

}  // namespace uvic::formats

#include "data/formats/tar_writer.h"

#include <fmt/format.h>

#include <stdexcept>

#include "data/formats/zip_archive.h"

namespace uvic::formats {
namespace {

constexpr size_t kTarBlock = 512, kLongestTarName = 100;
constexpr uint64_t kLargestTarEntry = uint64_t{1} << 33;

void put_at(std::string& header, size_t begin, std::string_view value) {
  header.replace(begin, value.size(), value);
}

/// Places of the fields: the ustar interchange format of POSIX (pax).
std::string tar_header(const std::string& name, uint64_t size_bytes) {
  std::string header(kTarBlock, '\0');
  put_at(header, 0, name);
  put_at(header, 100, "0000644");
  put_at(header, 108, "0000000");  // owner
  put_at(header, 116, "0000000");  // group
  put_at(header, 124, fmt::format("{:011o}", size_bytes));
  put_at(header, 136, "00000000000");  // time
  put_at(header, 148, "        ");     // the checksum's own place, while it is summed
  put_at(header, 156, "0");
  put_at(header, 257, std::string_view("ustar\00000", 8));
  unsigned sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  put_at(header, 148, fmt::format("{:06o}", sum) + '\0');
  return header;
}

}  // namespace

void TarWriter::add(const std::string& name, std::string_view content) {
  if (leaves_archive(name) || name.size() > kLongestTarName || content.size() >= kLargestTarEntry)
    throw std::invalid_argument(
        fmt::format("TarWriter: '{}' of {} bytes is not an entry", name, content.size()));
  const auto header = tar_header(name, content.size());
  sink_.write(header.data(), header.size());
  sink_.write(content.data(), content.size());
  const std::string padding((kTarBlock - content.size() % kTarBlock) % kTarBlock, '\0');
  sink_.write(padding.data(), padding.size());
}

void TarWriter::commit() {
  const std::string end(2 * kTarBlock, '\0');
  sink_.write(end.data(), end.size());
  sink_.commit();
}

}  // namespace uvic::formats

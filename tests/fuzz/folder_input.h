// A folder of files as one input, for readers of more than one file and of paths:
//
//   %%FILE config.toml
//   total_images = 48
//   %%FILE weights/000000048.safetensors
//   {"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}
//
// No length is stored, so that mutations keep the form. What stands in the way of a reader is put
// right by the file's name: .safetensors and .npy that begin with their header as text get the bytes
// before it and as many zeros behind as it asks for; .npz, .pth, .zip and .png get right checksums.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>

#include "data/formats/little_endian.h"
#include "tests/fuzz/png_checksums.h"
#include "tests/fuzz/zip_checksums.h"
#include "tests/support/scratch.h"

namespace uvic::fuzz {

constexpr size_t kMostPadding = 1 << 16;  // bytes that a text header is given

inline bool ends_with(std::string_view text, std::string_view ending) {
  return text.size() >= ending.size() && text.substr(text.size() - ending.size()) == ending;
}

/// The file whose header is the text's first line: its length, itself, what follows, zeros up to the
/// largest number after "data_offsets".
inline std::string safetensors_of_text(std::string_view text) {
  const size_t line = std::min(text.find('\n'), text.size());
  const auto header = text.substr(0, line);
  size_t most = 0;
  for (size_t at = header.find("data_offsets"); at != std::string_view::npos;
       at = header.find("data_offsets", at + 1)) {
    const size_t end = std::min(header.find(']', at), header.size());
    size_t number = 0;
    for (; at < end; ++at) {
      const bool is_digit = header[at] >= '0' && header[at] <= '9';
      number = is_digit ? number * 10 + static_cast<size_t>(header[at] - '0') : 0;
      if (number <= kMostPadding) most = std::max(most, number);
    }
  }
  std::string file;
  formats::append_little_endian<uint64_t>(file, header.size());
  file += header;
  auto data = std::string(text.substr(std::min(line + 1, text.size())));
  if (data.size() < most) data.resize(most, '\0');
  return file + data;
}

/// The same of a .npy, with zeros for the product of the numbers after "shape".
inline std::string npy_of_text(std::string_view text) {
  const size_t line = std::min(text.find('\n'), std::min<size_t>(text.size(), 0xff00));
  const auto header = text.substr(0, line);
  size_t product = 8, number = 0;  // bytes of the widest element that is common
  bool in_number = false;
  const size_t shape = std::min(header.find("shape"), header.size());
  const size_t end = std::min(header.find(')', shape), header.size() - 1) + 1;
  for (size_t at = shape; at < end; ++at) {
    const bool is_digit = header[at] >= '0' && header[at] <= '9';
    if (in_number && !is_digit) product = std::min(kMostPadding, product * number);
    number = is_digit
                 ? std::min(kMostPadding,
                            (in_number ? number * 10 : 0) + static_cast<size_t>(header[at] - '0'))
                 : 0;
    in_number = is_digit;
  }
  std::string file("\x93NUMPY\x01\0", 8);
  formats::append_little_endian<uint16_t>(file, static_cast<uint16_t>(header.size() + 1));
  file += header;
  file += '\n';
  auto data = std::string(text.substr(std::min(line + 1, text.size())));
  if (data.size() < product) data.resize(product, '\0');
  return file + data;
}

/// The content that a file of that name gets.
inline std::string repaired(std::string_view name, std::string_view content) {
  if (ends_with(name, ".safetensors") && content.substr(0, 1) == "{")
    return safetensors_of_text(content);
  if (ends_with(name, ".npy") && content.substr(0, 1) == "{") return npy_of_text(content);
  if (content.substr(0, 2) == "PK") return with_zip_checksums(std::string(content));
  if (is_png(content)) return with_png_checksums(std::string(content));
  return std::string(content);
}

/// The files of an input by their names: relative paths of plain letters, at most two folders deep.
inline std::map<std::string, std::string> files_of(std::string_view bytes) {
  constexpr std::string_view kMark = "%%FILE ";
  constexpr size_t kMostFiles = 24, kLongestName = 80;
  std::map<std::string, std::string> files;
  for (size_t at = bytes.find(kMark); at != std::string_view::npos && files.size() < kMostFiles;) {
    const size_t name_at = at + kMark.size();
    const size_t line = std::min(bytes.find('\n', name_at), bytes.size());
    at = bytes.find(kMark, line);
    const auto name = bytes.substr(name_at, line - name_at);
    const bool is_plain = !name.empty() && name.size() <= kLongestName && name.front() != '/' &&
                          name.back() != '/' && name.find("..") == std::string_view::npos &&
                          std::count(name.begin(), name.end(), '/') < 3 &&
                          std::all_of(name.begin(), name.end(), [](char c) {
                            return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                                   (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-' ||
                                   c == '/';
                          });
    if (!is_plain) continue;
    const size_t begin = std::min(line + 1, bytes.size());
    files[std::string(name)] =
        repaired(name, bytes.substr(begin, std::min(at, bytes.size()) - begin));
  }
  return files;
}

/// A folder that is filled anew for each input. Fastest in memory: TMPDIR=/dev/shm.
class ScratchFolder {
 public:
  const std::filesystem::path& path() const { return scratch_.path(); }

  std::filesystem::path write(const std::string& name, std::string_view content) const {
    const auto path = scratch_ / name;
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    const bool is_written = file >= 0 && ::write(file, content.data(), content.size()) ==
                                             static_cast<ssize_t>(content.size());
    if (file >= 0) ::close(file);
    if (!is_written) throw std::logic_error(path.string() + ": the fuzz target can't write it");
    return path;
  }

  /// Empties the folder and writes the files of the input; returns how many.
  size_t fill(std::string_view bytes) const {
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(path()))
      std::filesystem::remove_all(entry.path(), ignored);
    const auto files = files_of(bytes);
    for (const auto& [name, content] : files) {
      const auto slash = name.rfind('/');
      if (slash != std::string::npos) {
        const auto folder = path() / name.substr(0, slash);
        std::filesystem::create_directories(folder, ignored);
        if (!std::filesystem::is_directory(folder, ignored)) continue;  // a file of that name
      }
      if (std::filesystem::is_directory(path() / name, ignored)) continue;
      write(name, content);
    }
    return files.size();
  }

 private:
  test::Scratch scratch_;
};

/// Runs several readers on one input: each may refuse it, and all are run. finish() throws where
/// none of them took it.
class Attempts {
 public:
  /// `read` may also throw std::invalid_argument: a value that will not do.
  void operator()(const std::function<void()>& read) {
    try {
      read();
      ++taken_;
    } catch (const std::runtime_error&) {
    } catch (const std::invalid_argument&) {
    }
  }
  void finish() const {
    if (taken_ == 0) throw std::runtime_error("refused by every reader");
  }

 private:
  int taken_ = 0;
};

}  // namespace uvic::fuzz

// NumPy's .npy and .npz, written.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <stdexcept>
#include <string_view>

#include "data/formats/atomic_file.h"
#include "data/formats/little_endian.h"
#include "data/formats/npy.h"
#include "data/formats/numpy_array.h"
#include "data/formats/zip_writer.h"

namespace uvic::formats {

std::string npy_header(torch::ScalarType type, at::IntArrayRef shape) {
  const auto code = numpy_code(type);
  if (code.empty()) {
    throw std::invalid_argument(
        fmt::format("write_npy: NumPy has no {}; convert to float32 first", c10::toString(type)));
  }
  const char order = c10::elementSize(type) > 1 ? '<' : '|';
  std::string text = fmt::format("{{'descr': '{}{}', 'fortran_order': False, 'shape': ({}{}), }}",
                                 order,
                                 code,
                                 fmt::join(shape, ", "),
                                 shape.size() == 1 ? "," : "");
  const size_t fixed = kNpyMagic.size() + 4;
  text.resize((fixed + text.size() + 1 + 63) / 64 * 64 - fixed, ' ');
  text.back() = '\n';
  std::string header(kNpyMagic);
  append_little_endian<uint16_t>(header, 1);  // version 1.0
  append_little_endian<uint16_t>(header, static_cast<uint16_t>(text.size()));
  return header + text;
}

void write_npy(const std::filesystem::path& path, const torch::Tensor& tensor) {
  const auto plain = tensor.detach().to(torch::kCPU).contiguous();
  const std::string header = npy_header(plain.scalar_type(), plain.sizes());
  AtomicFile file(path);
  file.write(header.data(), header.size());
  file.write(plain.data_ptr(), plain.nbytes());
  file.commit();
}

void write_npz(const std::filesystem::path& path,
               const std::map<std::string, torch::Tensor>& arrays) {
  ZipWriter archive(path);
  for (const auto& [name, tensor] : arrays) {
    const auto plain = tensor.detach().to(torch::kCPU).contiguous();
    std::string content = npy_header(plain.scalar_type(), plain.sizes());
    content.append(static_cast<const char*>(plain.data_ptr()), plain.nbytes());
    archive.add(name + ".npy", content, /*alignment=*/64);
  }
  archive.commit();
}

}  // namespace uvic::formats

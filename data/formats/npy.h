// NumPy's .npy and .npz. https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/torch.h"
#include "data/formats/mapped_file.h"
#include "data/formats/numpy_pickle.h"
#include "data/formats/zip_archive.h"

namespace uvic::formats {

/// What the head of an array says.
struct ArrayInfo {
  torch::ScalarType dtype;
  std::vector<int64_t> shape;
  bool is_fortran = false;
};

/// An array as a tensor of the same shape; Fortran order becomes strides. By memory map: a
/// copy-on-write view where byte order and alignment allow it. bool, int8 to int64, uint8, float16
/// to float64, complex64 and complex128, either byte order. Throws std::runtime_error naming file
/// and fault: no array, another dtype, a pickled object, fewer bytes than the shape needs.
torch::Tensor read_npy(const std::filesystem::path& path);
torch::Tensor read_npy(const std::shared_ptr<const MappedFile>& file);
ArrayInfo read_npy_info(const std::filesystem::path& path);

/// The arrays in the Python object that numpy.save() pickled, or nothing where the file holds an
/// array. Throws what read_pickled_arrays() throws.
std::optional<PickledArrays> read_npy_object(const std::filesystem::path& path);

/// Writes whole or not at all, in C order. Throws std::invalid_argument for a dtype that NumPy
/// lacks (bfloat16).
void write_npy(const std::filesystem::path& path, const torch::Tensor& tensor);

/// The first bytes of a .npy of that type and shape in C order; the elements follow. Throws as
/// write_npy does.
std::string npy_header(torch::ScalarType dtype, at::IntArrayRef shape);

/// An open .npz, stored or deflated; arrays are read when asked for and checked against their CRC,
/// those stored by memory map.
class NpzFile {
 public:
  /// Throws std::runtime_error naming the file if it is no zip archive of arrays.
  explicit NpzFile(const std::filesystem::path& path);
  explicit NpzFile(std::shared_ptr<const MappedFile> file);

  const std::string& path() const { return archive_.name(); }
  std::vector<std::string> names() const;  ///< without ".npy", sorted
  bool has(const std::string& name) const { return entries_.count(name) > 0; }

  /// Both throw std::runtime_error that lists the names there are if `name` is none of them.
  torch::Tensor read(const std::string& name) const;
  ArrayInfo info(const std::string& name) const;
  /// info, or nothing for an array that can't be read: of texts, records or objects.
  std::optional<ArrayInfo> known_info(const std::string& name) const;
  /// Of an entry that is a pickled object, as read_npy_object(); nothing for arrays.
  std::optional<PickledArrays> read_object(const std::string& name) const;

 private:
  size_t entry(const std::string& name) const;

  ZipReader archive_;
  std::map<std::string, size_t> entries_;
};

std::map<std::string, torch::Tensor> read_npz(const std::filesystem::path& path);
std::map<std::string, torch::Tensor> read_npz(const std::shared_ptr<const MappedFile>& file);

/// As numpy.savez: stored. Whole or not at all.
void write_npz(const std::filesystem::path& path,
               const std::map<std::string, torch::Tensor>& arrays);

}  // namespace uvic::formats

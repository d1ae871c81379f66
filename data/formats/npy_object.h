// .npy files of Python objects, as numpy.save writes a tuple of arrays of different shapes. Read
// through the pickle whitelist: nothing is imported or called.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/torch.h"
#include "data/formats/mapped_file.h"

namespace uvic::formats {

/// Whether the first bytes of a file are those of a .npy whose dtype is object.
bool is_npy_object(std::string_view beginning);

/// The elements of an object array: arrays as tensors, numbers as tensors without dimensions
/// (integers as int64, others as float64). Copies. Throws std::runtime_error naming the file if it
/// is empty, damaged, no object array, or holds anything but numbers and arrays of numbers in C
/// order.
std::vector<torch::Tensor> read_npy_objects(const std::shared_ptr<const MappedFile>& file);

/// The bytes of such a file, as numpy.save(path, (array, number)) of NumPy 1 writes it: `array` is
/// float32, `number` an int64 scalar.
std::string npy_of_pair(const torch::Tensor& array, int64_t number);

}  // namespace uvic::formats

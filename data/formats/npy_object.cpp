#include "data/formats/npy_object.h"

#include <fmt/format.h>

#include <cstring>
#include <optional>
#include <variant>

#include "data/formats/file_error.h"
#include "data/formats/little_endian.h"
#include "data/formats/pickle.h"
#include "data/formats/torch_pickle_globals.h"
#include "data/formats/torch_pickle_scalars.h"

namespace uvic::formats {
namespace {

using Kind = PickleValue::Kind;

constexpr std::string_view kObjectArrayMagic("\x93NUMPY", 6);

std::runtime_error fault(const std::string& name, const std::string& text) {
  return file_error(name, "not an array of objects as numpy.save writes it: " + text);
}

/// Where the pickle begins, or 0 where the bytes are no .npy of objects.
size_t pickle_begin(std::string_view bytes) {
  if (bytes.substr(0, kObjectArrayMagic.size()) != kObjectArrayMagic || bytes.size() < 12) return 0;
  const size_t text_at = bytes[6] == 1 ? 10 : 12;
  const size_t length = bytes[6] == 1 ? load_little_endian<uint16_t>(bytes.data() + 8)
                                      : load_little_endian<uint32_t>(bytes.data() + 8);
  if (length > bytes.size() - text_at) return 0;
  const auto header = bytes.substr(text_at, length);
  const bool is_object = header.find("'descr': '|O'") != std::string_view::npos ||
                         header.find("'descr': 'O'") != std::string_view::npos;
  return is_object ? text_at + length : 0;
}

std::optional<torch::ScalarType> dtype_of(const PickleValue* dtype) {
  if (!dtype->is_call_of("numpy", "dtype") || dtype->argument->items.empty()) return std::nullopt;
  const auto* state = dtype->state;
  if (state && state->items.size() > 1 && state->items[1]->text == ">") return std::nullopt;
  const auto code = dtype->argument->items[0]->text;
  if (code == "f2") return torch::kFloat16;
  if (code == "f4") return torch::kFloat32;
  if (code == "f8") return torch::kFloat64;
  if (code == "i4") return torch::kInt32;
  if (code == "i8") return torch::kInt64;
  return std::nullopt;
}

bool is_array(const PickleValue* value) {
  return value->kind == Kind::kCall && value->callable->text == "_reconstruct" && value->state &&
         value->state->kind == Kind::kTuple && value->state->items.size() == 5;
}

/// What ndarray.__setstate__ is given: (version, shape, dtype, is_fortran, content).
struct ArrayState {
  explicit ArrayState(const PickleValue* array)
      : shape(array->state->items[1]),
        dtype(array->state->items[2]),
        is_fortran(array->state->items[3]->integer != 0),
        content(array->state->items[4]) {}
  const PickleValue *shape, *dtype;
  bool is_fortran;
  const PickleValue* content;
};

torch::Tensor array_of(const PickleValue* value, const std::string& name) {
  const ArrayState state(value);
  const auto dtype = dtype_of(state.dtype);
  if (!dtype || state.shape->kind != Kind::kTuple || state.shape->items.size() > 8)
    throw fault(name,
                "an element is an array of another type than float16 to float64, int32, int64");
  std::vector<int64_t> sizes;
  for (const auto* size : state.shape->items) sizes.push_back(as_int(size).value_or(-1));
  const auto numel = checked_numel(sizes);
  if (state.is_fortran) throw fault(name, "an element is an array in Fortran order");
  if (state.content->kind != Kind::kBytes || numel < 0 ||
      static_cast<uint64_t>(numel) * c10::elementSize(*dtype) != state.content->text.size())
    throw fault(name, "the bytes of an element do not agree with its shape");
  auto tensor = torch::empty(sizes, *dtype);
  if (numel > 0)
    std::memcpy(tensor.data_ptr(), state.content->text.data(), state.content->text.size());
  return tensor;
}

torch::Tensor number_of(const PickleValue* value, const std::string& name) {
  if (const auto integer = as_int(value)) return torch::tensor(*integer, torch::kInt64);
  if (value->kind == Kind::kFloat) return torch::tensor(value->real, torch::kFloat64);
  if (value->kind == Kind::kCall && value->callable->text == "scalar")
    if (const auto scalar = numpy_scalar(value)) {
      if (const auto* integer = std::get_if<int64_t>(&*scalar))
        return torch::tensor(*integer, torch::kInt64);
      if (const auto* real = std::get_if<double>(&*scalar))
        return torch::tensor(*real, torch::kFloat64);
    }
  throw fault(name, fmt::format("an element is a {}, want numbers and arrays", type_name(value)));
}

/// Writes pickles of protocol 3, opcode by opcode.
class PickleText {
 public:
  PickleText& raw(std::string_view bytes) {
    text_ += bytes;
    return *this;
  }
  PickleText& global(std::string_view module, std::string_view name) {
    return raw(fmt::format("c{}\n{}\n", module, name));
  }
  PickleText& string(std::string_view word) {
    text_ += 'X';
    append_little_endian<uint32_t>(text_, static_cast<uint32_t>(word.size()));
    return raw(word);
  }
  PickleText& bytes(const void* data, size_t size) {
    text_ += 'B';
    append_little_endian<uint32_t>(text_, static_cast<uint32_t>(size));
    return raw({static_cast<const char*>(data), size});
  }
  PickleText& integer(int64_t value) {
    text_ += 'J';
    append_little_endian<int32_t>(text_, static_cast<int32_t>(value));
    return *this;
  }
  /// numpy.dtype(code, False, True) with the state (3, order, None, None, None, -1, -1, flags).
  PickleText& dtype(std::string_view code, std::string_view order, int64_t flags) {
    global("numpy", "dtype").string(code).raw("\x89\x88\x87R(").integer(3).string(order);
    return raw("NNN").integer(-1).integer(-1).integer(flags).raw("tb");
  }
  /// An empty ndarray, and the beginning of its state up to the dtype.
  PickleText& array(at::IntArrayRef shape) {
    global("numpy.core.multiarray", "_reconstruct").global("numpy", "ndarray");
    integer(0).raw("\x85").bytes("b", 1).raw("\x87R(").integer(1).raw("(");
    for (const auto size : shape) integer(size);
    return raw("t");
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_ = "\x80\x03";
};

}  // namespace

bool is_npy_object(std::string_view beginning) { return pickle_begin(beginning) > 0; }

std::vector<torch::Tensor> read_npy_objects(const std::shared_ptr<const MappedFile>& file) {
  const auto& name = file->name();
  const std::string_view bytes(reinterpret_cast<const char*>(file->data()), file->size());
  if (bytes.empty()) throw file_error(name, "empty (0 bytes); make the file again");
  const auto begin = pickle_begin(bytes);
  if (begin == 0) throw fault(name, "its header says something else, or is cut short");
  PickleReader reader(bytes.substr(begin), name, is_plain_data);
  const auto* all = reader.read();
  if (!is_array(all)) throw fault(name, "it holds no array");
  const ArrayState state(all);
  if (state.content->kind != Kind::kList) throw fault(name, "its elements are not a list");
  constexpr size_t kMost = 64;  // the same array may be listed again and again
  if (state.content->items.size() > kMost)
    throw fault(name, fmt::format("{} elements, at most {}", state.content->items.size(), kMost));
  std::vector<torch::Tensor> elements;
  for (const auto* item : state.content->items)
    elements.push_back(is_array(item) ? array_of(item, name) : number_of(item, name));
  file->require_unchanged();
  return elements;
}

std::string npy_of_pair(const torch::Tensor& array, int64_t number) {
  const auto plain = array.detach().to(torch::kCPU, torch::kFloat32).contiguous();
  PickleText pickle;
  pickle.array({2}).dtype("O8", "|", 63).raw("\x89](");
  pickle.array(plain.sizes()).dtype("f4", "<", 0).raw("\x89");
  pickle.bytes(plain.data_ptr(), plain.nbytes()).raw("tb");
  pickle.global("numpy.core.multiarray", "scalar").dtype("i8", "<", 0);
  pickle.bytes(&number, sizeof(number)).raw("\x86R");
  pickle.raw("etb.");

  std::string header = "{'descr': '|O', 'fortran_order': False, 'shape': (2,), }";
  constexpr size_t kFixed = 10;
  header.resize((kFixed + header.size() + 1 + 63) / 64 * 64 - kFixed, ' ');
  header.back() = '\n';
  std::string file(kObjectArrayMagic);
  append_little_endian<uint16_t>(file, 1);
  append_little_endian<uint16_t>(file, static_cast<uint16_t>(header.size()));
  return file + header + pickle.text();
}

}  // namespace uvic::formats

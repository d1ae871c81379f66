#include "data/formats/numpy_pickle.h"

#include <fmt/format.h>

#include <optional>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "data/formats/file_error.h"
#include "data/formats/numpy_array.h"
#include "data/formats/pickle.h"
#include "data/formats/torch_pickle_globals.h"
#include "data/formats/torch_pickle_scalars.h"
#include "data/formats/torch_pickle_values.h"

namespace uvic::formats {
namespace {

using Kind = PickleValue::Kind;

/// numpy.NAME, of whatever module of NumPy.
bool is_numpy(const PickleValue* value, std::string_view name) {
  return value->kind == Kind::kCall && value->callable->kind == Kind::kGlobal &&
         value->callable->text == name && value->callable->module.substr(0, 5) == "numpy";
}

struct PickledDtype {
  std::string_view code;  // "f8", "O8"
  bool is_big_endian = false;
};

/// dtype("f8", False, True) with the state (3, "<", ...).
std::optional<PickledDtype> pickled_dtype(const PickleValue* value) {
  if (!is_numpy(value, "dtype") || value->argument->items.empty()) return std::nullopt;
  PickledDtype dtype{value->argument->items[0]->text};
  if (const auto* state = value->state; state && state->items.size() > 1)
    dtype.is_big_endian = state->items[1]->text == ">";
  return dtype;
}

class Walk {
 public:
  Walk(const std::shared_ptr<const MappedFile>& file, std::string_view pickle)
      : file_(file), pickle_(pickle) {}

  PickledArrays run(const PickleValue* root) {
    visit(root, "", 0);
    return std::move(result_);
  }

 private:
  std::runtime_error fault(const std::string& path, const std::string& text) const {
    return file_error(file_->name(),
                      fmt::format("{}: {}", path.empty() ? "its value" : path, text));
  }

  void add(const std::string& path, torch::Tensor array) {
    constexpr size_t kMost = 10'000;
    if (result_.arrays.size() >= kMost)
      throw fault(path, fmt::format("the object holds more than {} arrays", kMost));
    if (!result_.arrays.emplace(path, std::move(array)).second) throw fault(path, "is in it twice");
  }

  static std::string inside(const std::string& path, const std::string& key) {
    return path.empty() ? key : path + "." + key;
  }

  void visit(const PickleValue* value, const std::string& path, int depth) {
    constexpr int kDeepest = 16;
    constexpr size_t kLongestPath = 1024, kMostVisits = 1'000'000;
    if (depth > kDeepest || path.size() > kLongestPath)
      throw fault(path.substr(0, 100), fmt::format("nested deeper than {} levels", kDeepest));
    if (++visits_ > kMostVisits) throw fault("", "too many values");
    if (value->kind == Kind::kInt) return add(path, torch::tensor(value->integer));
    if (value->kind == Kind::kFloat) return add(path, torch::tensor(value->real, torch::kFloat64));
    if (value->kind == Kind::kList || value->kind == Kind::kTuple)
      return visit_items(value->items, path, depth);
    if (value->kind == Kind::kDict) return visit_dict(value, path, depth);
    if (value->kind == Kind::kCall) visit_call(value, path, depth);
  }

  void visit_items(const std::vector<PickleValue*>& items, const std::string& path, int depth) {
    for (size_t i = 0; i < items.size(); ++i)
      visit(items[i], inside(path, std::to_string(i)), depth + 1);
  }

  void visit_dict(const PickleValue* dict, const std::string& path, int depth) {
    for (size_t i = 0; i + 1 < dict->items.size(); i += 2) {
      const auto* key = dict->items[i];
      if (key->kind == Kind::kString)
        visit(dict->items[i + 1], inside(path, std::string(key->text)), depth + 1);
      else if (key->kind == Kind::kInt)
        visit(dict->items[i + 1], inside(path, std::to_string(key->integer)), depth + 1);
    }
  }

  void visit_call(const PickleValue* call, const std::string& path, int depth) {
    const auto& given = call->argument->items;
    const auto* state = call->state;
    if (is_numpy(call, "_reconstruct") && state && state->items.size() >= 5) {
      // (version, shape, dtype, is in Fortran order, elements)
      const auto& parts = state->items;
      const bool is_fortran = parts[3]->integer != 0;
      add_array(path, parts[1], parts[2], is_fortran, parts[4], depth);
    } else if (is_numpy(call, "_frombuffer") && given.size() == 4) {
      // (elements, dtype, shape, "C" or "F"), of protocol 5
      add_array(path, given[2], given[1], given[3]->text == "F", given[0], depth);
    } else if (const auto number = numpy_scalar(call)) {
      if (const auto* integer = std::get_if<int64_t>(&*number)) add(path, torch::tensor(*integer));
      if (const auto* real = std::get_if<double>(&*number))
        add(path, torch::tensor(*real, torch::kFloat64));
    } else if (!is_plain_data(call->callable->module, call->callable->text)) {
      result_.foreign.insert(type_name(call));
    }
  }

  void add_array(const std::string& path,
                 const PickleValue* shape,
                 const PickleValue* type,
                 bool is_fortran,
                 const PickleValue* elements,
                 int depth) {
    const auto dtype = pickled_dtype(type);
    if (!dtype) throw fault(path, "damaged: an array without a dtype");
    if (dtype->code.substr(0, 1) == "O") {
      // Without dimensions: the one object, as numpy.save makes it of a dictionary.
      if (elements->kind != Kind::kList) throw fault(path, "damaged: objects that are not a list");
      if (shape->items.empty() && elements->items.size() == 1)
        return visit(elements->items[0], path, depth + 1);
      return visit_items(elements->items, path, depth);
    }
    const auto known = numpy_dtype(dtype->code);
    if (!known) return;  // of texts, dates or records
    ArrayInfo info{*known, {}, is_fortran};
    for (const auto* size : shape->items) {
      if (!as_int(size) || *as_int(size) < 0 || info.shape.size() >= 64)
        throw fault(path, "damaged: its shape holds no size");
      info.shape.push_back(*as_int(size));
    }
    auto array = array_of(elements, info, dtype->is_big_endian);
    if (!array) throw fault(path, "damaged: fewer elements than its shape has");
    add(path, std::move(*array));
  }

  std::optional<torch::Tensor> array_of(const PickleValue* elements,
                                        const ArrayInfo& info,
                                        bool is_big_endian) const {
    if (elements->is_call_of("_codecs", "encode") && !elements->argument->items.empty()) {
      // Protocol 2 writes bytes as a text whose letters are the bytes.
      auto bytes = latin1_bytes(elements->argument->items[0]->text);
      const size_t size = bytes.size();
      return numpy_array(
          MappedFile::from_bytes(std::move(bytes), file_->name()), 0, size, info, is_big_endian);
    }
    if (elements->is_call_of("builtins", "bytearray") && !elements->argument->items.empty())
      elements = elements->argument->items[0];
    const auto text = elements->text;
    const bool is_inside = text.data() >= pickle_.data() &&
                           text.data() + text.size() <= pickle_.data() + pickle_.size();
    if ((elements->kind != Kind::kBytes && elements->kind != Kind::kString) || !is_inside)
      return std::nullopt;
    const auto at =
        static_cast<size_t>(reinterpret_cast<const uint8_t*>(text.data()) - file_->data());
    return numpy_array(file_, at, text.size(), info, is_big_endian);
  }

  std::shared_ptr<const MappedFile> file_;
  std::string_view pickle_;
  size_t visits_ = 0;
  PickledArrays result_;
};

}  // namespace

PickledArrays read_pickled_arrays(const std::shared_ptr<const MappedFile>& file,
                                  size_t begin,
                                  size_t size) {
  const std::string_view pickle(reinterpret_cast<const char*>(file->data()) + begin, size);
  PickleReader reader(pickle, file->name(), is_harmless_global);
  return Walk(file, pickle).run(reader.read());
}

}  // namespace uvic::formats

#include "data/formats/torch_pickle_globals.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "data/formats/file_error.h"
#include "data/formats/torch_pickle_values.h"

namespace uvic::formats {
namespace {

using Kind = PickleValue::Kind;

struct NamedType {
  std::string_view name;
  torch::ScalarType dtype;
};
constexpr NamedType kStorageClasses[] = {{"FloatStorage", torch::kFloat32},
                                         {"DoubleStorage", torch::kFloat64},
                                         {"HalfStorage", torch::kFloat16},
                                         {"BFloat16Storage", torch::kBFloat16},
                                         {"LongStorage", torch::kInt64},
                                         {"IntStorage", torch::kInt32},
                                         {"ShortStorage", torch::kInt16},
                                         {"CharStorage", torch::kInt8},
                                         {"ByteStorage", torch::kUInt8},
                                         {"BoolStorage", torch::kBool},
                                         {"ComplexFloatStorage", torch::kComplexFloat},
                                         {"ComplexDoubleStorage", torch::kComplexDouble},
                                         {"UntypedStorage", torch::kUInt8},
                                         {"_UntypedStorage", torch::kUInt8}};

// torch.float32 and its like, as _rebuild_tensor_v3 names them.
constexpr NamedType kNamedDtypes[] = {{"float32", torch::kFloat32},
                                      {"float64", torch::kFloat64},
                                      {"float16", torch::kFloat16},
                                      {"bfloat16", torch::kBFloat16},
                                      {"int64", torch::kInt64},
                                      {"int32", torch::kInt32},
                                      {"int16", torch::kInt16},
                                      {"int8", torch::kInt8},
                                      {"uint8", torch::kUInt8},
                                      {"bool", torch::kBool},
                                      {"complex64", torch::kComplexFloat},
                                      {"complex128", torch::kComplexDouble}};

template <size_t N>
std::optional<torch::ScalarType> lookup(const NamedType (&table)[N], std::string_view name) {
  for (const auto& row : table) {
    if (name == row.name) return row.dtype;
  }
  return std::nullopt;
}

struct Global {
  std::string_view module, name;
};
/// Plain data. Values of other classes are passed over, and said to be.
constexpr Global kGlobals[] = {{"collections", "OrderedDict"},
                               {"collections", "defaultdict"},
                               {"builtins", "set"},
                               {"__builtin__", "set"},
                               {"builtins", "frozenset"},
                               {"__builtin__", "frozenset"},
                               {"builtins", "dict"},
                               {"__builtin__", "dict"},
                               {"builtins", "list"},
                               {"__builtin__", "list"},
                               {"builtins", "int"},
                               {"__builtin__", "int"},
                               {"builtins", "float"},
                               {"__builtin__", "float"},
                               {"builtins", "complex"},
                               {"__builtin__", "complex"},
                               {"builtins", "bytearray"},
                               {"__builtin__", "bytearray"},
                               {"_codecs", "encode"},
                               {"torch._utils", "_rebuild_tensor"},
                               {"torch._utils", "_rebuild_tensor_v2"},
                               {"torch._utils", "_rebuild_tensor_v3"},
                               {"torch._utils", "_rebuild_parameter"},
                               {"torch._utils", "_rebuild_parameter_with_state"},
                               {"torch", "Size"},
                               {"torch", "device"},
                               {"torch._tensor", "_rebuild_from_type_v2"},
                               {"torch", "Tensor"},
                               {"torch.nn.parameter", "Parameter"},
                               {"argparse", "Namespace"},
                               {"types", "SimpleNamespace"},
                               {"pathlib", "PosixPath"},
                               {"pathlib", "PurePosixPath"},
                               {"numpy", "dtype"},
                               {"numpy", "ndarray"},
                               {"numpy.core.multiarray", "scalar"},
                               {"numpy._core.multiarray", "scalar"},
                               {"numpy.core.multiarray", "_reconstruct"},
                               {"numpy._core.multiarray", "_reconstruct"}};

/// Modules whose functions run commands, load code or reach into the process.
constexpr std::string_view kCodeModules[] = {
    "os",      "posix",    "nt",      "subprocess", "sys",       "importlib", "runpy",
    "ctypes",  "pty",      "shutil",  "socket",     "commands",  "popen2",    "webbrowser",
    "code",    "codeop",   "pdb",     "bdb",        "timeit",    "marshal",   "pickle",
    "_pickle", "cPickle",  "pip",     "imp",        "signal",    "platform",  "requests",
    "asyncio", "cProfile", "profile", "trace",      "torch.hub", "urllib"};
constexpr std::string_view kCodeBuiltins[] = {"eval",
                                              "exec",
                                              "execfile",
                                              "compile",
                                              "open",
                                              "__import__",
                                              "input",
                                              "breakpoint",
                                              "apply",
                                              "globals",
                                              "locals",
                                              "setattr",
                                              "delattr"};

bool is_storage_class(std::string_view module, std::string_view name) {
  return (module == "torch" || module == "torch.cuda" || module == "torch.storage") &&
         lookup(kStorageClasses, name);
}

}  // namespace

bool is_plain_data(std::string_view module, std::string_view name) {
  return is_storage_class(module, name) || (module == "torch" && lookup(kNamedDtypes, name)) ||
         std::any_of(std::begin(kGlobals), std::end(kGlobals), [&](const Global& global) {
           return global.module == module && global.name == name;
         });
}

std::optional<int64_t> as_int(const PickleValue* value) {
  return value->kind == Kind::kInt ? std::optional(value->integer) : std::nullopt;
}

std::optional<torch::ScalarType> named_dtype(std::string_view name) {
  return lookup(kNamedDtypes, name);
}

std::optional<torch::ScalarType> storage_dtype(std::string_view class_name) {
  return lookup(kStorageClasses, class_name);
}

std::optional<std::string_view> storage_class(torch::ScalarType dtype) {
  for (const auto& row : kStorageClasses) {
    if (row.dtype == dtype) return row.name;
  }
  return std::nullopt;
}

bool is_harmless_global(std::string_view module, std::string_view name) {
  const bool is_builtin = module == "builtins" || module == "__builtin__";
  const auto is = [](const auto& list, std::string_view word) {
    return std::find(std::begin(list), std::end(list), word) != std::end(list);
  };
  if (is_builtin) return !is(kCodeBuiltins, name);
  const auto package = module.substr(0, module.find('.'));
  return !is(kCodeModules, package) && !is(kCodeModules, module);
}

StorageId storage_id(const std::string& name, const PickleValue* persistent) {
  const auto refuse = [&](const std::string& text) { return file_error(name, text); };
  const PickleValue* id = persistent->argument;
  if (id->kind == Kind::kTuple && !id->items.empty() && id->items[0]->text == "module") {
    throw refuse(
        "refused: it holds a whole module with its source code. In Python: "
        "torch.save(model.state_dict(), path)");
  }
  if (id->kind != Kind::kTuple || id->items.size() < 5 || id->items[0]->text != "storage" ||
      id->items[1]->kind != Kind::kGlobal || id->items[2]->kind != Kind::kString ||
      !as_int(id->items[4]) || *as_int(id->items[4]) < 0) {
    throw refuse("damaged: a persistent id that names no storage");
  }
  const PickleValue* type = id->items[1];
  if (!is_storage_class(type->module, type->text)) {
    throw refuse(fmt::format("damaged: {}.{} is not a storage class", type->module, type->text));
  }
  StorageId result{id->items[2]->text, *lookup(kStorageClasses, type->text), id->items[4]->integer};
  if (id->items.size() > 5 && id->items[5]->kind == Kind::kTuple) {
    const auto& view = id->items[5]->items;  // (key, offset, numel)
    if (view.size() != 3 || !as_int(view[1]) || view[1]->integer < 0) {
      throw refuse("damaged: a view of a storage without an offset");
    }
    result.offset = view[1]->integer;
  }
  if (result.numel > (int64_t{1} << 58)) throw refuse("damaged: a storage of impossible size");
  return result;
}

}  // namespace uvic::formats

#include "data/formats/pickle.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "data/formats/file_error.h"
#include "data/formats/little_endian.h"
#include "data/formats/pickle_opcodes.h"

namespace uvic::formats {
namespace {

using Kind = PickleValue::Kind;

// A value takes some 150 bytes of memory and may take one byte in the file.
constexpr size_t kMaxValues = size_t{1} << 23;

bool is_dict_type(std::string_view module, std::string_view name) {
  return module == "collections" && (name == "OrderedDict" || name == "defaultdict");
}
bool is_set_type(std::string_view module, std::string_view name) {
  return (module == "builtins" || module == "__builtin__") &&
         (name == "set" || name == "frozenset");
}

}  // namespace

PickleReader::PickleReader(std::string_view bytes, std::string name, IsAllowed is_allowed)
    : bytes_(bytes), name_(std::move(name)), is_allowed_(is_allowed) {}

std::runtime_error PickleReader::fault(const std::string& text) const {
  return file_error(name_, fmt::format("{} (pickle, byte {})", text, at_));
}

std::string_view PickleReader::take(uint64_t size) {
  if (size > bytes_.size() - at_) throw fault("truncated");
  const auto result = bytes_.substr(at_, size);
  at_ += size;
  return result;
}

std::string_view PickleReader::take_line() {
  constexpr size_t kLongest = 4096;
  const auto end = bytes_.substr(at_, kLongest).find('\n');
  if (end == std::string_view::npos) throw fault("a name does not end");
  const auto line = take(end + 1);
  return line.substr(0, end);
}

template <class T>
T PickleReader::number() {
  return load_little_endian<T>(take(sizeof(T)).data());
}

PickleValue* PickleReader::make(Kind kind) {
  if (values_.size() >= kMaxValues) {
    throw fault(fmt::format("holds more than {} Python objects", kMaxValues));
  }
  values_.emplace_back().kind = kind;
  return &values_.back();
}

PickleValue* PickleReader::make_text(Kind kind, std::string_view text) {
  auto* value = make(kind);
  value->text = text;
  return value;
}

PickleValue* PickleReader::make_int(int64_t integer) {
  auto* value = make(Kind::kInt);
  value->integer = integer;
  return value;
}

PickleValue* PickleReader::make_long(std::string_view little_endian) {
  if (little_endian.size() > 8) return make_text(Kind::kLong, little_endian);
  const bool is_negative = !little_endian.empty() && (little_endian.back() & 0x80);
  uint64_t bits = is_negative ? ~uint64_t{0} : 0;
  std::memcpy(&bits, little_endian.data(), little_endian.size());
  return make_int(static_cast<int64_t>(bits));
}

PickleValue* PickleReader::pop() {
  auto* value = top();
  stack_.pop_back();
  return value;
}

PickleValue* PickleReader::top() {
  if (stack_.size() <= (marks_.empty() ? 0 : marks_.back()))
    throw fault("takes from an empty stack");
  return stack_.back();
}

std::vector<PickleValue*> PickleReader::pop_to_mark() {
  if (marks_.empty()) throw fault("no mark on its stack");
  const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  std::vector<PickleValue*> items(begin, stack_.end());
  stack_.erase(begin, stack_.end());
  marks_.pop_back();
  return items;
}

void PickleReader::extend(PickleValue* target, const std::vector<PickleValue*>& items) {
  target->items.insert(target->items.end(), items.begin(), items.end());
}

void PickleReader::memoize(uint64_t index) { memo_[index] = top(); }

void PickleReader::recall(uint64_t index) {
  const auto found = memo_.find(index);
  if (found == memo_.end()) throw fault(fmt::format("recalls memo {}, which was never put", index));
  push(found->second);
}

PickleValue* PickleReader::make_global(std::string_view module, std::string_view name) {
  if (!is_allowed_(module, name)) {
    throw fault(
        fmt::format("refused: it refers to {}.{}, which runs code. Save only tensors, in Python: "
                    "torch.save(model.state_dict(), path)",
                    module,
                    name));
  }
  auto* value = make_text(Kind::kGlobal, name);
  value->module = module;
  return value;
}

void PickleReader::call() {
  auto* arguments = pop();
  auto* callable = pop();
  const bool is_callable = callable->kind == Kind::kGlobal || callable->kind == Kind::kCall;
  if (!is_callable || arguments->kind != Kind::kTuple) {
    throw fault(
        "refused: it calls something that is not a global. Save only tensors, in Python: "
        "torch.save(model.state_dict(), path)");
  }
  const bool is_dict = is_dict_type(callable->module, callable->text);
  if (!is_dict && !is_set_type(callable->module, callable->text)) {
    auto* value = make(Kind::kCall);
    value->callable = callable;
    value->argument = arguments;
    push(value);
    return;
  }
  auto* value = make(is_dict ? Kind::kDict : Kind::kSet);
  const auto& given = arguments->items;
  const auto charge = [&](size_t items) {
    copied_ += items;
    if (copied_ > 4 * uint64_t{at_} + 1024) throw fault("copies the same list again and again");
  };
  if (!given.empty() && given[0]->kind == Kind::kList) {
    charge(2 * given[0]->items.size());
    if (!is_dict) {
      value->items = given[0]->items;
    } else {
      for (const auto* pair : given[0]->items) {  // Python 2's OrderedDict([[key, value], ...])
        if (pair->items.size() != 2) throw fault("an OrderedDict of items that are not pairs");
        extend(value, pair->items);
      }
    }
  }
  push(value);
}

/// class.__new__(class, *arguments, **named)
void PickleReader::call_with_names() {
  auto* named = pop();
  call();
  if (named->kind != Kind::kDict) throw fault("refused: its named arguments are not a dict");
  extend(top(), named->items);
}

bool PickleReader::step(uint8_t opcode) {
  const auto expect = [&](bool condition, const char* name) {
    if (!condition) throw fault(fmt::format("{} on a wrong kind of value", name));
  };
  const auto tuple_of = [&](size_t size) {
    std::vector<PickleValue*> items(size);
    for (size_t i = size; i-- > 0;) items[i] = pop();
    auto* tuple = make(Kind::kTuple);
    tuple->items = std::move(items);
    push(tuple);
  };
  const auto is_list = [](const PickleValue* value) {
    return value->kind == Kind::kList || value->kind == Kind::kCall;
  };
  const auto is_dict = [](const PickleValue* value) {
    return value->kind == Kind::kDict || value->kind == Kind::kCall;
  };
  switch (opcode) {
    case kProto:
      if (const int version = number<uint8_t>(); version < 2 || version > 5) {
        throw fault(fmt::format("pickle protocol {}, known are 2 to 5", version));
      }
      return true;
    case kFrame:
      number<uint64_t>();
      return true;
    case kStop:
      return false;
    case kMark:
      marks_.push_back(stack_.size());
      return true;
    case kPop:
      if (!marks_.empty() && marks_.back() == stack_.size()) {
        marks_.pop_back();
      } else {
        pop();
      }
      return true;
    case kPopMark:
      pop_to_mark();
      return true;
    case kDup:
      push(top());
      return true;
    case kNone:
      push(make(Kind::kNone));
      return true;
    case kNewTrue:
    case kNewFalse:
      push(make(Kind::kBool));
      top()->integer = opcode == kNewTrue;
      return true;
    case kBinInt:
      push(make_int(number<int32_t>()));
      return true;
    case kBinInt1:
      push(make_int(number<uint8_t>()));
      return true;
    case kBinInt2:
      push(make_int(number<uint16_t>()));
      return true;
    case kLong1:
      push(make_long(take(number<uint8_t>())));
      return true;
    case kLong4:
      push(make_long(take(number<uint32_t>())));
      return true;
    case kBinFloat: {
      const uint64_t bits = __builtin_bswap64(number<uint64_t>());  // the one big-endian number
      push(make(Kind::kFloat));
      std::memcpy(&top()->real, &bits, sizeof(bits));
      return true;
    }
    case kShortBinString:
    case kShortBinUnicode:
      push(make_text(Kind::kString, take(number<uint8_t>())));
      return true;
    case kBinString:
    case kBinUnicode:
      push(make_text(Kind::kString, take(number<uint32_t>())));
      return true;
    case kBinUnicode8:
      push(make_text(Kind::kString, take(number<uint64_t>())));
      return true;
    case kShortBinBytes:
      push(make_text(Kind::kBytes, take(number<uint8_t>())));
      return true;
    case kBinBytes:
      push(make_text(Kind::kBytes, take(number<uint32_t>())));
      return true;
    case kBinBytes8:
    case kByteArray8:
      push(make_text(Kind::kBytes, take(number<uint64_t>())));
      return true;
    case kEmptyList:
      push(make(Kind::kList));
      return true;
    case kEmptyTuple:
      push(make(Kind::kTuple));
      return true;
    case kEmptyDict:
      push(make(Kind::kDict));
      return true;
    case kEmptySet:
      push(make(Kind::kSet));
      return true;
    case kAppend: {
      auto* item = pop();
      expect(is_list(top()), "APPEND");
      top()->items.push_back(item);
      return true;
    }
    case kAppends: {
      const auto items = pop_to_mark();
      expect(is_list(top()), "APPENDS");
      extend(top(), items);
      return true;
    }
    case kTuple: {
      auto items = pop_to_mark();
      push(make(Kind::kTuple));
      top()->items = std::move(items);
      return true;
    }
    case kTuple1:
    case kTuple2:
    case kTuple3:
      tuple_of(size_t{1} + opcode - kTuple1);
      return true;
    case kSetItem: {
      auto* value = pop();
      auto* key = pop();
      expect(is_dict(top()), "SETITEM");
      extend(top(), {key, value});
      return true;
    }
    case kSetItems: {
      const auto items = pop_to_mark();
      expect(is_dict(top()) && items.size() % 2 == 0, "SETITEMS");
      extend(top(), items);
      return true;
    }
    case kAddItems: {
      const auto items = pop_to_mark();
      expect(top()->kind == Kind::kSet, "ADDITEMS");
      extend(top(), items);
      return true;
    }
    case kFrozenSet: {
      auto items = pop_to_mark();
      push(make(Kind::kSet));
      top()->items = std::move(items);
      return true;
    }
    case kBinGet:
      recall(number<uint8_t>());
      return true;
    case kLongBinGet:
      recall(number<uint32_t>());
      return true;
    case kBinPut:
      memoize(number<uint8_t>());
      return true;
    case kLongBinPut:
      memoize(number<uint32_t>());
      return true;
    case kMemoize:
      memoize(memo_.size());
      return true;
    case kGlobal: {
      const auto module = take_line();
      const auto name = take_line();
      push(make_global(module, name));
      return true;
    }
    case kStackGlobal: {
      const auto* name = pop();
      const auto* module = pop();
      expect(name->kind == Kind::kString && module->kind == Kind::kString, "STACK_GLOBAL");
      push(make_global(module->text, name->text));
      return true;
    }
    case kReduce:
    case kNewObj:
      call();
      return true;
    case kNewObjEx:
      call_with_names();
      return true;
    case kBuild: {
      auto* state = pop();
      expect(is_dict(top()) || is_list(top()) || top()->kind == Kind::kSet, "BUILD");
      top()->state = state;
      return true;
    }
    case kBinPersId: {
      auto* id = pop();
      push(make(Kind::kPersistent));
      top()->argument = id;
      persistent_.push_back(top());
      return true;
    }
    default:
      for (const auto& refused : kRefused) {
        if (opcode == refused.code) throw fault(fmt::format("refused: opcode {}", refused.name));
      }
      throw fault(fmt::format("not a pickle: unknown opcode 0x{:02x}", opcode));
  }
}

const PickleValue* PickleReader::read() {
  stack_.clear();
  marks_.clear();
  memo_.clear();
  while (step(number<uint8_t>())) {
  }
  const auto* result = pop();
  if (!stack_.empty() || !marks_.empty()) throw fault("leaves values on its stack");
  return result;
}

}  // namespace uvic::formats

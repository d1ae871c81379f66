// The opcodes of Python's pickles that are read, and those that are refused by name.
#pragma once

#include <cstdint>

namespace uvic::formats {

/// By the names of pickletools.
enum Opcode : uint8_t {
  kProto = 0x80,
  kFrame = 0x95,
  kStop = '.',
  kMark = '(',
  kPop = '0',
  kPopMark = '1',
  kDup = '2',
  kNone = 'N',
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kLong1 = 0x8a,
  kLong4 = 0x8b,
  kBinFloat = 'G',
  kShortBinString = 'U',
  kBinString = 'T',
  kShortBinUnicode = 0x8c,
  kBinUnicode = 'X',
  kBinUnicode8 = 0x8d,
  kShortBinBytes = 'C',
  kBinBytes = 'B',
  kBinBytes8 = 0x8e,
  kByteArray8 = 0x96,
  kEmptyList = ']',
  kAppend = 'a',
  kAppends = 'e',
  kEmptyTuple = ')',
  kTuple = 't',
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kEmptyDict = '}',
  kSetItem = 's',
  kSetItems = 'u',
  kEmptySet = 0x8f,
  kAddItems = 0x90,
  kFrozenSet = 0x91,
  kBinGet = 'h',
  kLongBinGet = 'j',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kMemoize = 0x94,
  kGlobal = 'c',
  kStackGlobal = 0x93,
  kReduce = 'R',
  kNewObj = 0x81,
  kNewObjEx = 0x92,
  kBuild = 'b',
  kBinPersId = 'Q',
};

struct RefusedOpcode {
  uint8_t code;
  const char* name;
};
constexpr RefusedOpcode kRefused[] = {{'i', "INST"},
                                      {'o', "OBJ"},
                                      {0x82, "EXT1"},
                                      {0x83, "EXT2"},
                                      {0x84, "EXT4"},
                                      {'P', "PERSID"},
                                      {0x97, "NEXT_BUFFER"},
                                      {0x98, "READONLY_BUFFER"},
                                      {'I', "INT"},
                                      {'L', "LONG"},
                                      {'F', "FLOAT"},
                                      {'S', "STRING"},
                                      {'V', "UNICODE"},
                                      {'l', "LIST"},
                                      {'d', "DICT"},
                                      {'g', "GET"},
                                      {'p', "PUT"}};

}  // namespace uvic::formats

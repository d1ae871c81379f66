// The parts of a tokenizer.json before and after its model, each from its JSON object.
#pragma once

#include <functional>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/tokens/regex.h"

namespace uvic::data {

/// A stretch of text between special tokens, or a word of it.
struct TextSection {
  std::string text;
  bool is_first = false;  ///< it begins where the whole text begins
};

using Normalizer = std::function<std::string(std::string)>;
using PreTokenizer = std::function<std::vector<TextSection>(std::vector<TextSection>)>;
using TokenDecoder = std::function<std::vector<std::string>(std::vector<std::string>)>;

// The object of that part, or null. Each throws std::runtime_error that begins with `source` and
// names the type, setting or pattern that is not understood.

/// NFC, NFD, NFKC, NFKD, Lowercase, Prepend, Replace, Strip, Sequence.
Normalizer make_normalizer(const nlohmann::json& part, const std::string& source);

/// ByteLevel, Split, Digits, Punctuation, WhitespaceSplit, Metaspace, Sequence.
PreTokenizer make_pre_tokenizer(const nlohmann::json& part, const std::string& source);

/// ByteLevel, ByteFallback, Fuse, Metaspace, Replace, Strip, Sequence. Without one, the tokens are
/// joined by blanks.
TokenDecoder make_token_decoder(const nlohmann::json& part, const std::string& source);

/// The symbols of a byte, GPT-2's table: printable bytes are themselves, others U+0100 on.
const std::string& byte_symbol(unsigned char byte);

/// A pattern {"String": ...} or {"Regex": ...}, or a text: where it is found.
using FindMatches = std::function<std::vector<TextRange>(const std::string&)>;
FindMatches make_pattern(const nlohmann::json& pattern, const std::string& source);

/// `text` with every match replaced.
std::string replace_matches(const std::string& text,
                            const std::vector<TextRange>& matches,
                            const std::string& content);

/// Throws unless `part` is an object with no keys but "type" and `keys`.
void require_keys(const nlohmann::json& part,
                  std::initializer_list<const char*> keys,
                  const std::string& source);
/// The value of a key. Throws where it has another type, or is missing without a default.
bool bool_of(const nlohmann::json& part,
             const char* key,
             bool otherwise,
             const std::string& source);
std::string text_of(const nlohmann::json& part, const char* key, const std::string& source);

}  // namespace uvic::data

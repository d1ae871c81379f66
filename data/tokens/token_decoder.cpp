// Decoders of a tokenizer.json, from the texts of tokens to text, as the tokenizers library has
// them.
#include <algorithm>
#include <unordered_map>

#include "data/tokens/named_part.h"
#include "data/tokens/tokenizer_parts.h"
#include "data/tokens/utf8_walk.h"
#include "data/unicode_text.h"

namespace uvic::data {
namespace {

using nlohmann::json;
using Texts = std::vector<std::string>;

constexpr const char* kReplacementText = "\xef\xbf\xbd";  // U+FFFD

std::string joined(const Texts& texts) {
  std::string all;
  for (const auto& text : texts) all += text;
  return all;
}

TokenDecoder make_bytes_decoder(const json& part, const std::string& source) {
  require_keys(part, {"add_prefix_space", "trim_offsets", "use_regex"}, source);
  std::unordered_map<char32_t, char> bytes;
  for (int b = 0; b < 256; ++b) {
    size_t at = 0;
    bytes[next_character(byte_symbol(static_cast<unsigned char>(b)), at)] = static_cast<char>(b);
  }
  return [bytes](const Texts& tokens) {
    std::string text;
    for (const auto& token : tokens) {
      std::string own;
      bool is_known = true;
      for (size_t at = 0; at < token.size() && is_known;) {
        const auto found = bytes.find(next_character(token, at));
        is_known = found != bytes.end();
        if (is_known) own += found->second;
      }
      text += is_known ? own : token;
    }
    return Texts{replace_bad_utf8(text)};
  };
}

/// The byte of a token "<0x0A>", or -1.
int byte_of(const std::string& token) {
  if (token.size() != 6 || token.compare(0, 3, "<0x") != 0 || token[5] != '>') return -1;
  int byte = 0;
  for (const char c : {token[3], token[4]}) {
    const auto digit = std::string_view("0123456789abcdef")
                           .find(c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c);
    if (digit == std::string_view::npos) return -1;
    byte = 16 * byte + static_cast<int>(digit);
  }
  return byte;
}

TokenDecoder make_byte_fallback(const json& part, const std::string& source) {
  require_keys(part, {}, source);
  return [](const Texts& tokens) {
    Texts texts;
    std::string bytes;
    const auto flush = [&] {
      if (!bytes.empty() && !find_bad_utf8(bytes))
        texts.push_back(bytes);
      else
        for (size_t i = 0; i < bytes.size(); ++i) texts.emplace_back(kReplacementText);
      bytes.clear();
    };
    for (const auto& token : tokens) {
      const int byte = byte_of(token);
      if (byte >= 0) {
        bytes += static_cast<char>(byte);
        continue;
      }
      flush();
      texts.push_back(token);
    }
    flush();
    return texts;
  };
}

TokenDecoder make_fuse(const json& part, const std::string& source) {
  require_keys(part, {}, source);
  return [](const Texts& tokens) { return Texts{joined(tokens)}; };
}

TokenDecoder make_replace_decoder(const json& part, const std::string& source) {
  require_keys(part, {"pattern", "content"}, source);
  return [find = make_pattern(part.value("pattern", json()), source),
          content = text_of(part, "content", source)](Texts tokens) {
    for (auto& token : tokens) token = replace_matches(token, find(token), content);
    return tokens;
  };
}

TokenDecoder make_strip_decoder(const json& part, const std::string& source) {
  require_keys(part, {"content", "start", "stop"}, source);
  const auto content = text_of(part, "content", source);
  const auto count = [&](const char* key) {
    if (!part.contains(key) || !part[key].is_number_unsigned())
      throw formats::file_error(source, fmt::format("the decoder Strip lacks {}", key));
    return part[key].get<size_t>();
  };
  if (content.empty()) throw formats::file_error(source, "the decoder Strip has no content");
  return [content, start = count("start"), stop = count("stop")](Texts tokens) {
    for (auto& token : tokens) {
      size_t begin = 0, end = token.size();
      for (size_t i = 0; i < start && token.compare(begin, content.size(), content) == 0; ++i)
        begin += content.size();
      for (size_t i = 0; i < stop && end >= begin + content.size() &&
                         token.compare(end - content.size(), content.size(), content) == 0;
           ++i)
        end -= content.size();
      token = token.substr(begin, end - begin);
    }
    return tokens;
  };
}

TokenDecoder make_metaspace_decoder(const json& part, const std::string& source) {
  require_keys(
      part, {"replacement", "str_rep", "add_prefix_space", "prepend_scheme", "split"}, source);
  const auto find = make_pattern(text_of(part, "replacement", source), source);
  const bool drops =
      bool_of(part, "add_prefix_space", true, source) &&
      (!part.contains("prepend_scheme") || text_of(part, "prepend_scheme", source) != "never");
  return [find, drops](Texts tokens) {
    for (size_t i = 0; i < tokens.size(); ++i)
      tokens[i] = replace_matches(tokens[i], find(tokens[i]), i == 0 && drops ? "" : " ");
    return tokens;
  };
}

TokenDecoder make_token_decoders(const json& part, const std::string& source) {
  require_keys(part, {"decoders"}, source);
  std::vector<TokenDecoder> all;
  for (const auto& one : parts_of(part, "decoders", source))
    all.push_back(make_token_decoder(one, source));
  return in_sequence(std::move(all));
}

const base::Table<PartKind<TokenDecoder>>& token_decoder_kinds() {
  static const base::Table<PartKind<TokenDecoder>> table(
      "decoder",
      {{"ByteLevel", "characters of GPT-2's table as bytes", make_bytes_decoder},
       {"ByteFallback", "<0x0A> as a byte", make_byte_fallback},
       {"Fuse", "all tokens as one", make_fuse},
       {"Metaspace", "U+2581 as a blank", make_metaspace_decoder},
       {"Replace", "a pattern by a text", make_replace_decoder},
       {"Strip", "a character at the ends is left out", make_strip_decoder},
       {"Sequence", "several, one after the other", make_token_decoders}});
  return table;
}

}  // namespace

TokenDecoder make_token_decoder(const json& part, const std::string& source) {
  if (part.is_null())
    return [](const Texts& tokens) {
      std::string all;
      for (size_t i = 0; i < tokens.size(); ++i) (all += i == 0 ? "" : " ") += tokens[i];
      return Texts{all};
    };
  return make_named_part(token_decoder_kinds(), "decoder", part, source);
}

}  // namespace uvic::data

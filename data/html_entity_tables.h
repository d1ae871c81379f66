// HTML's named character references. https://html.spec.whatwg.org/#named-character-references
#pragma once

#include <array>
#include <cstddef>

namespace uvic::data {

struct HtmlEntity {
  const char* name;   ///< as "eacute;" or "eacute"
  const char* value;  ///< one or two characters, UTF-8
};

constexpr size_t kHtmlEntities = 2231;
constexpr size_t kHtmlEntitiesInCapitals = 1376;
/// By name, byte by byte; with a semicolon all of them, without it those that HTML allows.
extern const std::array<HtmlEntity, kHtmlEntities> html_entities;
/// "EACUTE;": names in lower case written in capitals that are no names themselves.
extern const std::array<HtmlEntity, kHtmlEntitiesInCapitals> html_entities_in_capitals;

}  // namespace uvic::data

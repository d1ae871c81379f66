// Mojibake: UTF-8 that was read in another encoding, as "cafÃ©" for "café". A reading of the
// heuristic of ftfy 6.3.1 (Speer, https://ftfy.readthedocs.io), which CLIP's tokenizer uses.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace uvic::data {

/// The kinds (CharacterKind) of each character, 0 for those that no rule names.
std::vector<uint32_t> kinds_of(std::u32string_view text);

/// Whether neighbouring characters occur in it that hardly ever occur next to each other in correct
/// text: ftfy.badness.is_bad.
bool looks_like_mojibake(std::u32string_view text);

/// The text as it was before it was read in a wrong encoding, undone as often as it looks wrong:
/// ftfy.fix_encoding.
std::u32string fix_encoding(std::u32string text);

/// Control characters U+0080 to U+009F as what Windows-1252 has there.
std::u32string fix_c1_controls(std::u32string text);

}  // namespace uvic::data

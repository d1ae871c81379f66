// Whether a JPEG holds all that its frame announces, which stb_image does not check.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace uvic::formats {

/// Empty where a JPEG is sound, else what is wrong, as "has no frame".
///
/// Walks the segments up to the end-of-image marker. Sound means: one frame; every scan with the
/// Huffman tables that it names, of 256 codes at most, its quantisation tables, and the number of
/// restart markers that its size asks for, in order; every component sent, in a progressive file
/// every coefficient of it down to its last bit, the DC before the AC. Entropy-coded data itself is
/// not decoded.
/// Source: ITU-T T.81, sections B.2 and G.1.
std::string jpeg_fault(const uint8_t* bytes, size_t size);

}  // namespace uvic::formats
